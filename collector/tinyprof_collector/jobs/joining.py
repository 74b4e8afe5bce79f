"""Which requests ask for the same run, so that one is made for all of them. Pure."""

from hashlib import blake2b

from tinyprof_collector.cache.key import KEY_BYTES
from tinyprof_protocol.codec import pack
from tinyprof_protocol.jobs import ProfileRequest


def may_join(request: ProfileRequest) -> bool:
    """Whether another's run will do: who wants no answer from the cache wants a run of its own."""
    return request.use_cache and not request.job.cancel


def key_of_words(request: ProfileRequest) -> bytes:
    """The key of what is asked and where, as it was said: equal words ask for the same, whatever the board runs."""
    job = request.job
    place = (job.node, job.board) if request.where is None else request.where
    asked = (place, job.suite, job.prompts, job.max_tokens, job.repetitions)
    return blake2b(pack(asked), digest_size=KEY_BYTES, person=b"words").digest()
