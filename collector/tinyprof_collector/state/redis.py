"""The accounting in a Redis that several collectors share, each with partitions of its own.

A partition has a revision, which every write raises; accounts and sums, each a field of a hash; and for each account
the revision at which it last changed. A write reads what is there, unites it with what this collector has seen
(`merging`), and goes through only if the revision is still the same: else it begins again. So an owner that wakes late
adds to what a newer one has kept, and takes nothing from it.

Which collector serves a partition is a claim with a number that rises with each start; the newest counts.
"""

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec

from tinyprof_collector.accounting import Account, AccountImage
from tinyprof_collector.ledger import row_of
from tinyprof_collector.ledger_image import Changes, Key, LedgerImage, NodeTotals, Told
from tinyprof_collector.redis_link import RedisLink
from tinyprof_collector.sqlite_file import line_of
from tinyprof_collector.state.merging import SharedAccount, merged, seen_by
from tinyprof_collector.state.state import StateFailed, StateLost
from tinyprof_protocol.names import partition_of

if TYPE_CHECKING:
    from redis.client import Pipeline

log = logging.getLogger(__name__)
T = TypeVar("T")

LAYOUT = b"1"
"""How keys and values are laid out; another number is another version's."""
MAX_TRIES = 20
"""How often a write begins again because somebody else wrote meanwhile, before all is held for a while."""
KEPT_REVISIONS = 100_000
"""How long it is remembered which account changed when; who looks around more seldom loads all anew."""
EPOCH_BYTES = 16
GENERATION_BYTES = 8


@dataclass(slots=True)
class _Share:
    """What one partition has of a list of changes, and what came of it."""

    number: int
    accounts: list[AccountImage] = field(default_factory=list)
    summed: list[AccountImage] = field(default_factory=list)
    write: dict[bytes, bytes] = field(default_factory=dict)
    write_totals: dict[bytes, bytes] = field(default_factory=dict)
    remove: list[bytes] = field(default_factory=list)
    before: int = 0


class RedisState:
    """Keeps accounts for one of several collectors. All calls come from the pipeline's thread."""

    def __init__(
        self,
        link: RedisLink,
        collector: str,
        partitions: Collection[int],
        ids: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._link = link
        self._ids = ids
        self._generation = b""
        """Names what is kept, from its beginning until it is lost: whoever notices a loss gives it a new name."""
        self._me = collector
        self._partitions = sorted(partitions)
        self._seen: dict[int, int] = {}
        self._claims: dict[int, int] = {}
        """The number of our claim on each partition; 0 where somebody else's is to count."""
        self._taken: dict[int, str] = {}
        self._lost = False
        self._error: str | None = None

    # ---- what is kept

    def load(self) -> LedgerImage:
        """Claims the partitions and reads what was kept of them. Raises StateFailed."""
        self.check_server()
        with self._answered():
            self._agree_on_generation()
            found = self._read_all()
            self._claim_partitions()
        images, sums = [], []
        for number, revision, accounts, totals in found:
            self._seen[number] = revision
            images += [seen_by(one, self._me) for one in _readable(accounts.values(), SharedAccount)]
            sums += _readable(totals.values(), NodeTotals)
        if self._lost:
            # What went back in time may lack what the stores have taken since: they are asked.
            images = [msgspec.structs.replace(image, recalled=False) for image in images]
            self._lost = False
        return LedgerImage(images, sums)

    def claim(self) -> None:
        """Claims the partitions before anything is read, unless that is done. Raises StateFailed."""
        if not self._claims:
            self.check_server()
            with self._answered():
                self._claim_partitions()

    def claims(self) -> Mapping[int, int]:
        """The number of our claim on each partition; 0 where a claim by our name is to count."""
        return self._claims

    def check_server(self) -> None:
        """Raises StateFailed for a server that is away, is to forget keys, or whose keys are another version's."""
        redis, where = self._link.commands, self._link.where
        with self._answered():
            about: dict[str, Any] = {**redis.info("memory"), **redis.info("persistence")}
            redis.set(self._link.key("layout"), LAYOUT, nx=True)
            layout = redis.get(self._link.key("layout"))
        policy = str(about.get("maxmemory_policy", ""))
        if about.get("maxmemory") and policy.startswith("allkeys"):
            raise StateFailed(f"redis {where}: maxmemory-policy {policy} forgets what must be kept: set noeviction")
        if not about.get("aof_enabled"):
            log.warning("redis %s forgets what is new when it ends: set appendonly yes, appendfsync always", where)
        if layout != LAYOUT:
            raise StateFailed(f"redis {where}: its keys are of another version of tinyprof (layout {layout!r})")

    def keep(self, changes: Changes) -> Told:
        """Unites all changes with what is there, or none. Raises StateFailed and StateLost."""
        shares = _shares(changes)
        if not shares:
            return Told()
        with self._answered():
            for _ in range(MAX_TRIES):
                told = self._try_to_keep(changes, shares)
                if told is not None:
                    return told
        self._error = f"redis {self._link.where}: other collectors write to the same partitions all the time"
        raise StateFailed(self._error)

    def look_around(self) -> Told:
        """What others have kept in our partitions since we last looked. Raises StateFailed and StateLost."""
        key, told = self._link.key, Told()
        with self._answered():
            asked = self._link.commands.pipeline(transaction=False)
            asked.get(key("generation"))
            asked.hgetall(key("claims"))
            asked.mget([key(number, "revision") for number in self._partitions])
            generation, claims, revisions = asked.execute()
            self._check_generation(generation)
            self._taken = _newer(claims, self._claims, self._me)
            for number, revision in zip(self._partitions, map(_number, revisions), strict=True):
                self._check_revision(number, revision)
                if revision > self._seen[number]:
                    self._read_news(number, told)
                    self._seen[number] = revision
        return told

    def taken(self) -> Mapping[int, str]:
        """Partitions that another collector has claimed after us, with its id."""
        return self._taken

    def check(self) -> str | None:
        """What was wrong when it was last asked, in a line; None if nothing was."""
        return self._error

    def close(self) -> None:
        """Lets the connections go. Claims stay: whoever serves a partition next makes a newer one."""
        self._link.close()

    # ---- reading

    def _read_all(self) -> list[tuple[int, int, dict[bytes, bytes], dict[bytes, bytes]]]:
        key, found = self._link.key, []
        for number in self._partitions:
            asked = self._link.commands.pipeline(transaction=True)
            asked.get(key(number, "revision"))
            asked.hgetall(key(number, "accounts"))
            asked.hgetall(key(number, "totals"))
            revision, accounts, totals = asked.execute()
            found.append((number, _number(revision), accounts, totals))
        return found

    def _claim_partitions(self) -> None:
        """At the start all; when loading anew those that nobody claims: who wakes late takes nothing away."""
        key, redis = self._link.key, self._link.commands
        claimed = redis.hgetall(key("claims"))
        again = bool(self._claims)
        wanted = [number for number in self._partitions if not again or str(number).encode() not in claimed]
        if self._lost:
            self._claims = dict.fromkeys(self._partitions, 0)
        if wanted:
            claim = redis.incr(key("claim"))
            redis.hset(key("claims"), mapping={str(number): f"{claim} {self._me}" for number in wanted})
            self._claims |= dict.fromkeys(wanted, claim)

    def _read_news(self, number: int, told: Told) -> None:
        """What others changed in a partition since we last looked."""
        key, redis = self._link.key, self._link.commands
        since = self._seen[number]
        names = cast("list[bytes]", redis.zrangebyscore(key(number, "changed"), f"({since}", "+inf"))
        if not names:
            return
        values = cast("list[bytes | None]", redis.hmget(key(number, "accounts"), cast("Any", names)))
        gone = []
        for name, value in zip(names, values, strict=True):
            if value is None:
                gone.append(_key_of(name))
                continue
            told.accounts.extend(
                seen_by(one, self._me) for one in _readable([value], SharedAccount) if one.writer != self._me
            )
        told.gone.extend(gone)
        nodes = sorted({node.encode() for node, _ in gone})
        if nodes:
            sums = cast("list[bytes | None]", redis.hmget(key(number, "totals"), cast("Any", nodes)))
            told.totals.extend(_readable([one for one in sums if one is not None], NodeTotals))

    def _agree_on_generation(self) -> None:
        key, redis = self._link.key("generation"), self._link.commands
        if self._lost and redis.get(key) == self._generation:
            redis.set(key, self._ids(GENERATION_BYTES))
        redis.set(key, self._ids(GENERATION_BYTES), nx=True)
        self._generation = cast("bytes", redis.get(key) or b"")

    def _check_generation(self, generation: bytes | None) -> None:
        """Raises StateLost where what is there is not what we loaded, however far it has come since."""
        if generation != self._generation:
            self._lost = True
            raise StateLost(f"redis {self._link.where} has lost what it kept")

    def _check_revision(self, number: int, revision: int) -> None:
        """Raises StateLost where a partition went back in time, or so far ahead that it has to be loaded anew."""
        seen = self._seen.get(number, revision)
        if revision < seen:
            self._lost = True
            raise StateLost(f"redis {self._link.where} has lost what it kept: revision {revision}, it was {seen}")
        if revision - seen > KEPT_REVISIONS:
            raise StateLost(f"redis {self._link.where}: {revision - seen} changes by others; all is loaded anew")

    # ---- writing

    def _try_to_keep(self, changes: Changes, shares: list[_Share]) -> Told | None:
        """Returns None where somebody else wrote in the meantime."""
        from redis.exceptions import WatchError

        key, told = self._link.key, Told()
        with self._link.commands.pipeline(transaction=True) as run:
            run.watch(*(key(share.number, "revision") for share in shares))  # type: ignore[no-untyped-call]
            self._unite(changes, shares, told)
            run.multi()
            for share in shares:
                self._queue(run, share)
            try:
                run.execute()
            except WatchError:
                return None
        for share in shares:
            # Otherwise others have written since we last looked, and the next look finds it.
            if self._seen.get(share.number) == share.before:
                self._seen[share.number] = share.before + 1
        return told

    def _unite(self, changes: Changes, shares: list[_Share], told: Told) -> None:
        """Reads what is there, on another connection than the one that watches, and makes what is to be written."""
        asked = self._link.commands.pipeline(transaction=False)
        key = self._link.key
        for share in shares:
            images = [*share.accounts, *share.summed]
            asked.get(key(share.number, "revision"))
            asked.hmget(key(share.number, "accounts"), [_name_of(image) for image in images] or [b""])
            asked.hmget(key(share.number, "totals"), [image.node.encode() for image in share.summed] or [b""])
        asked.get(key("generation"))
        *found, generation = asked.execute()
        self._check_generation(generation)
        for at, share in enumerate(shares):
            revision, accounts, totals = found[3 * at : 3 * at + 3]
            share.before = _number(revision)
            self._check_revision(share.number, share.before)
            share.write, share.write_totals, share.remove = {}, {}, []
            self._unite_accounts(changes, share, accounts, told)
            self._sum_up(changes, share, accounts[len(share.accounts) :], totals, told)

    def _unite_accounts(self, changes: Changes, share: _Share, found: list[bytes | None], told: Told) -> None:
        for image, value in zip(share.accounts, found, strict=False):
            at = (image.node, image.epoch)
            before = _decoded(value)
            if before is None and at in changes.known:
                told.gone.append(at)  # another collector has summed it up
                continue
            united = merged(before, image, changes.moves[at], self._me)
            share.write[_name_of(image)] = msgspec.msgpack.encode(united)
            seen = seen_by(united, self._me)
            if seen != image:
                told.accounts.append(seen)

    def _sum_up(
        self, changes: Changes, share: _Share, found: list[bytes | None], totals: list[bytes | None], told: Told
    ) -> None:
        """Accounts go into their node's sum once, whoever of the collectors is first."""
        sums: dict[str, NodeTotals] = {}
        for image, value, total in zip(share.summed, found, totals, strict=False):
            known = _readable([total] if total is not None else [], NodeTotals)
            before = sums.setdefault(image.node, known[0] if known else NodeTotals(image.node))
            at = (image.node, image.epoch)
            was = _decoded(value)
            if was is None and at in changes.known:
                continue
            united = merged(was, image, changes.moves[at], self._me)
            sums[image.node] = before.and_row(row_of(Account.from_image(united.image)))
            share.remove.append(_name_of(image))
        for node, total_now in sums.items():
            share.write_totals[node.encode()] = msgspec.msgpack.encode(total_now)
            told.totals.append(total_now)

    def _queue(self, run: "Pipeline", share: _Share) -> None:
        key, number, now = self._link.key, share.number, share.before + 1
        run.set(key(number, "revision"), now)
        if share.write:
            run.hset(key(number, "accounts"), mapping=cast("Any", share.write))
        if share.remove:
            run.hdel(key(number, "accounts"), *cast("Any", share.remove))
            run.zremrangebyscore(key(number, "changed"), "-inf", now - KEPT_REVISIONS)
        if share.write_totals:
            run.hset(key(number, "totals"), mapping=cast("Any", share.write_totals))
        changed = [*share.write, *share.remove]
        if changed:
            run.zadd(key(number, "changed"), cast("Any", dict.fromkeys(changed, now)))

    @contextlib.contextmanager
    def _answered(self) -> Iterator[None]:
        """Remembers what went wrong while the server was asked."""
        try:
            with self._link.answered(StateFailed):
                yield
        except StateFailed as why:
            self._error = str(why)
            raise
        self._error = None


def _shares(changes: Changes) -> list[_Share]:
    by_number: dict[int, _Share] = {}
    for image in changes.accounts:
        number = partition_of(image.node)
        by_number.setdefault(number, _Share(number)).accounts.append(image)
    for image in changes.summed:
        number = partition_of(image.node)
        by_number.setdefault(number, _Share(number)).summed.append(image)
    return list(by_number.values())


def _newer(claims: Mapping[bytes, bytes], mine: Mapping[int, int], me: str) -> dict[int, str]:
    """Partitions with a claim of another collector that is newer than ours."""
    newer = {}
    for partition, ours in mine.items():
        number, _, name = claims.get(str(partition).encode(), b"").decode("utf-8", "replace").partition(" ")
        if number.isdecimal() and int(number) > ours and name != me:
            newer[partition] = name
    return newer


def _name_of(image: AccountImage) -> bytes:
    return image.epoch + image.node.encode()


def _key_of(name: bytes) -> Key:
    return name[EPOCH_BYTES:].decode("utf-8", "replace"), name[:EPOCH_BYTES]


def _number(value: bytes | None) -> int:
    return int(value or 0)


def _decoded(value: bytes | None) -> SharedAccount | None:
    found = _readable([value] if value is not None else [], SharedAccount)
    return found[0] if found else None


def _readable(values: Iterable[bytes], kind: type[T]) -> list[T]:
    images = []
    for data in values:
        try:
            images.append(msgspec.msgpack.decode(data, type=kind))
        except msgspec.MsgspecError as why:
            log.error("a value of the state cannot be read and counts as lost: %s", line_of(why))
    return images
