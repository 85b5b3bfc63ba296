"""Writes customers' hashes and ranks to Redis, in a thread of its own.

Delivery: when :meth:`RedisWriter.flush` returns, Redis has answered all writes handed over before. Their durability
depends on the server's ``appendfsync``: with ``always`` they are on disk; with ``everysec`` they survive a crash of the
server, but a power cut may lose the last second. While Redis is down, a bounded number of hashes wait here; then the
caller waits.

Of several waiting writes of one hash, only the newest version is sent. Live people are written first; after each round
of live hashes, a small number of others is written. One command sets all fields of a hash, so readers never see half of
an update; its ranks follow in the same pipeline. After a failure all unanswered writes are sent again. Guarded blocks
change a hash only if the stored version is not newer, so reading a part of the log again after a resume never restores
an older score.

The keys of a pipeline lie in several hash slots, so this needs one Redis server (replicas are fine), not a Redis
Cluster.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Self

import numpy as np
import redis
from pydantic import SecretStr

from contracts.errors import CrmError, StoreRefusedError
from contracts.metrics import HASHES_WRITTEN, LATENCY, labelled
from contracts.outputs import HashBlock
from sinks.clients import redis_client
from sinks.coalesce import Kinds, Newest, rows_of
from sinks.redis_pipe import Pipe, redis_is_out
from sinks.resp import commands_of, script_arguments
from sinks.retries import Retrying, first_line

FEW_HASHES: Final = 256
"""Below this number of hashes Python renders text faster than Arrow renders commands."""
MOST_HASHES: Final = 4_096
"""Hashes in one pipeline."""
SWEPT_IDS: Final = 1_024
"""Ids of one round that is not live. A small number, since live hashes wait for a running round."""
GATHER_SECONDS: Final = 0.005
"""Live outputs wait this long for others, since buckets deliver theirs one after the other."""
MAX_WAITING_HASHES: Final = 400_000
LARGEST_VERSION: Final = 2**53
"""The largest version: the script compares versions as Lua numbers, which are exact up to here."""
_CLOSE_SECONDS: Final = 10.0

Split = Callable[[Any], Iterable[HashBlock]]
"""Makes blocks of hashes from an output of the dataflow, one per kind, all of the same ids in the same order.

An output whose order is ``newest`` has a block of each kind that other outputs of its ids have: one memory of the
newest write of each id serves all kinds.
"""


def as_it_is(block: HashBlock) -> list[HashBlock]:
    """Return a block of hashes unchanged."""
    return [block]


class RedisWriter:
    """Makes hashes from the dataflow's blocks with ``split`` and writes them."""

    def __init__(
        self,
        client: redis.Redis,
        split: Split = as_it_is,
        *,
        clock: Callable[[], float] = time.time,
        gather_seconds: float = GATHER_SECONDS,
        max_waiting_hashes: int = MAX_WAITING_HASHES,
    ):
        self._split = split
        self._pipe = Pipe(client)
        self._clock = clock
        self._gather_seconds = gather_seconds
        self._max_waiting_hashes = max_waiting_hashes
        self._live: deque[tuple[int, Kinds]] = deque()  # with their numbers
        self._others: deque[tuple[int, Kinds]] = deque()
        self._running: int | None = None  # the number of the oldest output that is being written
        self._others_turn = False
        self._written_of_others = 0  # rows of the first of them
        self._newest = Newest()
        self._handed_over = 0  # outputs: their numbers
        self._unanswered = 0
        self._flushing = 0
        self._failure: CrmError | None = None
        self._closed = threading.Event()
        self._changed = threading.Condition()
        self._retrying = Retrying("Redis", redis_is_out, self._closed.wait)
        self._thread: threading.Thread | None = None

    @classmethod
    def to(cls, url: SecretStr | str, split: Split = as_it_is) -> Self:
        """Make a writer to the server at ``url``. It connects at the first block."""
        return cls(redis_client(url), split)

    @property
    def waiting(self) -> int:
        """How many hashes were handed over and not yet answered."""
        return self._unanswered

    def write(self, batch: Sequence[Any]) -> None:
        """Accept outputs. Waits only while more than ``max_waiting_hashes`` are unanswered.

        Raises ValueError for versions out of range, StoreRefusedError if Redis refused these or earlier outputs for
        good, or the writer is closed.
        """
        outputs = [output for output in map(tuple, map(self._split, batch)) if output and len(output[0].ids)]
        for output in outputs:
            check(output)
        with self._changed:
            self._raise_failure()
            self._start()
            for output in outputs:
                self._changed.wait_for(self._has_room)
                self._raise_failure()
                self._put(output)
                self._unanswered += _count(output)
            if outputs:
                self._changed.notify_all()

    def flush(self) -> None:
        """Return when Redis has answered all writes handed over before this call; wait while it is down.

        Raises StoreRefusedError as :meth:`write` does.
        """
        with self._changed:
            self._flushing += 1
            last = self._handed_over
            self._changed.notify_all()
            try:
                self._changed.wait_for(lambda: self._failure or self._oldest() > last)
            finally:
                self._flushing -= 1
            self._raise_failure()

    def close(self) -> None:
        """Stop the thread after its running pipeline. Drops blocks that were not flushed."""
        with self._changed:
            self._closed.set()
            self._failure = self._failure or StoreRefusedError("this Redis writer is closed")
            self._changed.notify_all()
            thread = self._thread
        if thread:
            thread.join(_CLOSE_SECONDS)
        self._pipe.close()

    def _put(self, output: Kinds) -> None:
        self._handed_over += 1
        (self._live if output[0].live else self._others).append((self._handed_over, output))

    def _oldest(self) -> int:
        """Return the number of the oldest output that is not wholly answered; the next number if all are."""
        numbers = [queue[0][0] for queue in (self._live, self._others) if queue]
        if self._running is not None:
            numbers.append(self._running)
        return min(numbers, default=self._handed_over + 1)

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="redis-writer", daemon=True)
            self._thread.start()

    def _has_room(self) -> bool:
        return self._unanswered < self._max_waiting_hashes or self._failure is not None

    def _raise_failure(self) -> None:
        if self._failure:
            raise self._failure

    def _run(self) -> None:
        """Write waiting outputs until closed. Runs in the thread; write and flush raise its failure."""
        try:
            while outputs := self._next_outputs():
                self._write(outputs)
        except Exception as error:  # noqa: BLE001 (whatever it is, the other thread must learn of it)
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        with self._changed:
            message = f"writing to Redis failed: {type(error).__name__}: {first_line(error)}"
            failure = error if isinstance(error, CrmError) else StoreRefusedError(message)
            self._failure = self._failure or failure
            self._changed.notify_all()

    def _next_outputs(self) -> list[Kinds] | None:
        """Wait for outputs; return all live ones, or some rows of the oldest others; None when closed.

        After live outputs others have their turn, but only those that were handed over before all live ones that wait:
        a live row must not be written after a newer swept one. A steady stream of live outputs does not hold the others
        up for ever, since each becomes the oldest.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._live or self._others or self._closed.is_set())
            live_next = bool(self._live) and not (self._others_turn and self._others_are_older())
            if live_next and not self._flushing and not self._closed.is_set():
                self._changed.wait_for(lambda: self._flushing or self._closed.is_set(), self._gather_seconds)
            if self._closed.is_set():
                return None
            if live_next:
                self._others_turn, self._running = True, self._live[0][0]
                outputs = [output for _, output in self._live]
                self._live.clear()
                return outputs
            self._others_turn, self._running = False, self._others[0][0]
            return self._take_others(MOST_HASHES if self._flushing and not self._live else SWEPT_IDS)

    def _others_are_older(self) -> bool:
        """Return whether the first of the others was handed over before all live outputs that wait."""
        return bool(self._others) and (not self._live or self._others[0][0] < self._live[0][0])

    def _take_others(self, most: int) -> list[Kinds]:
        """Take at most so many ids of the others that are older than all live outputs that wait, in their order."""
        taken: list[Kinds] = []
        while self._others_are_older() and most:
            (_, output), start = self._others[0], self._written_of_others
            count = len(output[0].ids)
            stop = min(start + most, count)
            taken.append(output if stop - start == count else rows_of(output, np.arange(start, stop)))
            most -= stop - start
            self._written_of_others = stop
            if stop == count:
                self._others.popleft()
                self._written_of_others = 0
        return taken

    def _write(self, outputs: Sequence[Kinds]) -> None:
        """Write the newest rows of outputs, kind by kind."""
        kinds: dict[str, list[HashBlock]] = {}
        for output in self._newest.reduce(outputs):
            for block in output:
                kinds.setdefault(block.prefix, []).append(block)
        for blocks in kinds.values():
            for group in _groups(blocks):
                self._send(group[0].join(group[1:]))
        now = self._clock()
        for output in outputs:
            for block in output:
                if block.oldest:
                    LATENCY.observe(max(0.0, now - block.oldest / 1_000))
        with self._changed:
            self._unanswered -= sum(map(_count, outputs))
            self._running = None
            self._newest.age(self._handed_over, self._oldest(), now)
            self._changed.notify_all()

    def _send(self, block: HashBlock) -> None:
        """Write hashes; repeat until Redis has answered all of them."""
        for start in range(0, len(block.ids), MOST_HASHES):
            rows = np.arange(start, min(start + MOST_HASHES, len(block.ids)))
            some = block if len(rows) == len(block.ids) else block.take(rows)
            try:
                applied = self._retrying.call(self._sending(some))
            except redis.RedisError as error:
                raise StoreRefusedError(f"Redis refused {block.prefix} hashes: {first_line(error)}") from error
            labelled(HASHES_WRITTEN, block.prefix).inc(applied)

    def _sending(self, block: HashBlock) -> Callable[[], int]:
        """Return a repeatable function that sends hashes and returns the number applied."""
        if block.guarded:
            return partial(self._pipe.run_script, list(script_arguments(block.texts())))
        commands = commands_of(block.texts()) if len(block.ids) < FEW_HASHES else block.commands()

        def send() -> int:
            self._pipe.send(commands)
            return len(block.ids)

        return send


def _groups(blocks: Sequence[HashBlock]) -> list[list[HashBlock]]:
    """Group blocks of one kind that can be rendered together.

    Two writes of one id keep their order if it matters: then only neighbours form groups. ``newest`` blocks have no id
    in common, and ``reset`` blocks come before them.
    """
    groups: list[list[HashBlock]] = []
    ordered = any(block.order == "swept" for block in blocks)
    for block in blocks:
        for group in groups[-1:] if ordered else groups:
            if block.guarded == group[0].guarded and group[0].fits(block):
                group.append(block)
                break
        else:
            groups.append([block])
    return groups


def _count(output: Kinds) -> int:
    return len(output) * len(output[0].ids)


def check(output: Kinds) -> None:
    """Raise ValueError if an output's parts do not fit together or its versions are out of range."""
    first, count = output[0], len(output[0].ids)
    for block in output:
        if len(block.ids) != count:
            raise ValueError(f"{block.prefix}: {len(block.ids)} ids, but {count} of {first.prefix}")
        if (block.order, block.live, block.guarded) != (first.order, first.live, first.guarded):
            raise ValueError(f"{block.prefix}: it is not ordered, live or guarded as {first.prefix}")
        if len(block.versions) != count:
            raise ValueError(f"{block.prefix}: {len(block.versions)} versions for {count} hashes")
        if block.versions.min() < 0 or block.versions.max() >= LARGEST_VERSION:
            raise ValueError(f"{block.prefix}: versions must lie between 0 and 2^53")
