"""llama.cpp by llama-cpp-python on one thread, for engine.py: answers `TOKENS PROMPT-AS-HEX` lines with JSON.

Runs under whatever interpreter has llama_cpp; calls the C functions, so that Python costs microseconds a token.
"""

import ctypes
import json
import sys
import time

import llama_cpp
import numpy as np


def opened(path: str, ctx: int) -> tuple[object, object, int]:
    """Model, context and size of the vocabulary."""
    llama_cpp.llama_log_set(SILENT, None)
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = ctx
    parameters.n_threads = parameters.n_threads_batch = 1
    context = llama_cpp.llama_init_from_model(model, parameters)
    return model, context, llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))


SILENT = llama_cpp.llama_log_callback(lambda _level, _text, _user: None)


def tokens_of(model: object, prompt: bytes) -> list[int]:
    """The prompt's tokens, begin-of-sequence first."""
    room = (llama_cpp.llama_token * (len(prompt) + 8))()
    vocabulary = llama_cpp.llama_model_get_vocab(model)
    return list(room[: llama_cpp.llama_tokenize(vocabulary, prompt, len(prompt), room, len(room), True, False)])


def timed(model: object, context: object, size: int, prompt: bytes, count: int) -> dict[str, object]:
    """Greedy generation from an empty cache: nanoseconds to the first token and from it to the last."""
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    made: list[int] = []
    stamps: list[int] = []
    begin = time.perf_counter_ns()
    feed = tokens_of(model, prompt)
    while len(made) < count:
        fed = (llama_cpp.llama_token * len(feed))(*feed)  # the batch only points to it
        batch = llama_cpp.llama_batch_get_one(fed, len(feed))
        if llama_cpp.llama_decode(context, batch):
            raise SystemExit("llama_decode failed")
        logits = llama_cpp.llama_get_logits_ith(context, -1)
        address = ctypes.cast(logits, ctypes.c_void_p).value
        made.append(int(np.frombuffer((ctypes.c_float * size).from_address(address), np.float32).argmax()))
        stamps.append(time.perf_counter_ns())
        feed = made[-1:]
    return {"ttft_ns": stamps[0] - begin, "decode_ns": stamps[-1] - stamps[0], "tokens": made}


def main() -> None:
    """Answers until standard input ends."""
    model, context, size = opened(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"version": llama_cpp.__version__}), flush=True)
    for line in sys.stdin:
        count, prompt = line.split()
        print(json.dumps(timed(model, context, size, bytes.fromhex(prompt), int(count))), flush=True)


if __name__ == "__main__":
    main()
