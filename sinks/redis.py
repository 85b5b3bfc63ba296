"""Writes customers' hashes and ranks to Redis, guarded by version.

Delivery: a hash changes only if the version given is not older than the one stored, so a replay after a crash
never moves a customer back, and the same version again repairs whatever is missing. A hash and its ranks
change in one script: both or neither.

When :meth:`RedisWriter.write` returns, the server has answered. How durable that is, the server's
``appendfsync`` says: with ``always`` it is on disk; with ``everysec`` it survives the death of the server,
while a power cut may take the last second, which the next sweep writes again.

One script carries many customers, so their keys lie in several slots: this needs one Redis server (with
replicas, if wanted), not a Redis Cluster.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from hashlib import sha1
from importlib.resources import files
from itertools import chain
from typing import Any, Final, Self

import hiredis
import redis
from pydantic import SecretStr

from contracts.errors import StoreRefusedError
from contracts.metrics import HASHES_WRITTEN, LATENCY
from contracts.outputs import HashWrites
from contracts.stored import VERSION_FIELD, top_key
from sinks.clients import redis_client
from sinks.retries import Retrying, first_line

CHUNK_CUSTOMERS: Final = 250
"""Customers per script call: few enough that the script holds the server up for milliseconds only."""
LARGEST_VERSION: Final = 2**53
"""Versions are compared as Lua numbers, which are exact up to here."""
ABSENT: Final = "\0"
"""Stands in a script's arguments for a field to be removed."""
_IN_FLIGHT_CHUNKS: Final = 8
_PASSING_REFUSALS: Final = (
    "LOADING",
    "READONLY",
    "MISCONF",
    "OOM",
    "NOREPLICAS",
    "BUSY",
    "MASTERDOWN",
    "TRYAGAIN",
)

_SCRIPT: Final = (files("sinks") / "apply_hashes.lua").read_text(encoding="utf-8")
_SCRIPT_SHA: Final = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


def redis_is_out(error: Exception) -> bool:
    """Whether an error of Redis will pass by itself: nobody answers, or it takes no writes for now."""
    if isinstance(error, redis.AuthenticationError | redis.exceptions.AuthorizationError):
        return False
    if isinstance(error, redis.ConnectionError | redis.TimeoutError | redis.ReadOnlyError | OSError):
        return True
    passing = (redis.BusyLoadingError, redis.OutOfMemoryError, redis.exceptions.TryAgainError)
    return isinstance(error, passing) or (
        isinstance(error, redis.ResponseError) and str(error).startswith(_PASSING_REFUSALS)
    )


class RedisWriter:
    """Applies blocks of hashes. The same prefix, customer and version must always mean the same content."""

    def __init__(self, client: redis.Redis, *, clock: Callable[[], float] = time.time):
        self._client = client
        self._clock = clock
        self._closed = threading.Event()
        self._retrying = Retrying("Redis", redis_is_out, self._closed.wait)

    @classmethod
    def to(cls, url: SecretStr | str) -> Self:
        """Make a writer to the server at ``url``; it connects when it has something to write."""
        return cls(redis_client(url))

    def write(self, batch: Sequence[HashWrites]) -> None:
        """Write blocks; return when Redis has answered. Waits for as long as Redis is down.

        Raises ValueError for a block whose parts do not fit together, StoreRefusedError if Redis refuses for
        good.
        """
        for block in batch:
            check(block)
        if batch:
            self._apply(batch)
            self._observe(batch)

    def flush(self) -> None:
        """Nothing waits here: Redis has answered for everything when :meth:`write` returns."""

    def close(self) -> None:
        """Close the connection."""
        self._closed.set()
        self._client.close()

    def _apply(self, blocks: Sequence[HashWrites]) -> None:
        """Write blocks, again and again until Redis has answered for all of them."""
        try:
            applied = self._retrying.call(partial(self._send, blocks))
        except redis.RedisError as error:
            raise StoreRefusedError(f"Redis refused {blocks[0].prefix} hashes: {first_line(error)}") from error
        for block, count in zip(blocks, applied, strict=True):
            HASHES_WRITTEN.labels(block.prefix).inc(count)

    def _observe(self, blocks: Sequence[HashWrites]) -> None:
        now = self._clock()
        for block in blocks:
            if block.oldest_record_at is not None:
                LATENCY.observe(max(0.0, now - block.oldest_record_at))

    def _send(self, blocks: Sequence[HashWrites]) -> list[int]:
        """Write blocks over one connection; return how many hashes of each were applied."""
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            return self._converse(connection, blocks)
        except redis.exceptions.NoScriptError:
            connection.disconnect()  # more such answers are on their way
            connection.send_command("SCRIPT", "LOAD", _SCRIPT)
            connection.read_response()
            return self._converse(connection, blocks)
        finally:
            pool.release(connection)

    def _converse(self, connection: Any, blocks: Sequence[HashWrites]) -> list[int]:
        """Send all chunks, a few ahead of their answers. Breaking off ends the connection."""
        applied = [0] * len(blocks)
        unanswered: deque[int] = deque()
        try:
            for number, arguments in _numbered_arguments(blocks):
                # Packed here, because the client would look at each argument once more in Python.
                command = hiredis.pack_command(("EVALSHA", _SCRIPT_SHA, *arguments))
                connection.send_packed_command([command])
                unanswered.append(number)
                if len(unanswered) > _IN_FLIGHT_CHUNKS:
                    applied[unanswered.popleft()] += int(connection.read_response())
            while unanswered:
                applied[unanswered.popleft()] += int(connection.read_response())
        except BaseException:
            connection.disconnect()
            raise
        return applied


def _numbered_arguments(blocks: Sequence[HashWrites]) -> Iterator[tuple[int, list[Any]]]:
    return ((number, arguments) for number, block in enumerate(blocks) for arguments in script_arguments(block))


def check(block: HashWrites) -> None:
    """Raise ValueError, naming the part, if the parts of a block do not fit together."""
    customers = len(block.ids)
    parts = {
        "versions": block.versions,
        **block.columns,
        **{f"ranks[{name}]": x for name, x in block.ranks.items()},
    }
    for name, values in parts.items():
        if len(values) != customers:
            raise ValueError(f"{block.prefix}: {name} has {len(values)} values for {customers} customers")
    if VERSION_FIELD in block.columns:
        raise ValueError(f"{block.prefix}: the field {VERSION_FIELD!r} is the writer's own")
    if customers and (block.versions.min() < 0 or block.versions.max() >= LARGEST_VERSION):
        raise ValueError(f"{block.prefix}: versions must lie between 0 and 2^53")


def script_arguments(block: HashWrites) -> Iterator[list[Any]]:
    """Lay out the arguments of EVALSHA for each chunk of a block, as ``apply_hashes.lua`` wants them."""
    before, after = block.prefix + ":{", "}"
    keys = [before + customer + after for customer in block.ids]
    columns = [_with_absent(values) for values in block.columns.values()]
    columns = [block.versions.tolist(), *columns, *(scores.tolist() for scores in block.ranks.values())]
    tops = [top_key(outcome) for outcome in block.ranks]
    expires = block.expires_seconds
    shape = [len(block.columns), len(tops), len(before) + 1, expires, VERSION_FIELD, *block.columns]
    for start in range(0, len(keys), CHUNK_CUSTOMERS):
        chunk = slice(start, start + CHUNK_CUSTOMERS)
        chunk_keys = keys[chunk]
        values = chain.from_iterable(column[chunk] for column in columns)
        yield [len(chunk_keys) + len(tops), *chunk_keys, *tops, *shape, *values]


def _with_absent(values: Sequence[str | None]) -> Sequence[object]:
    return [ABSENT if value is None else value for value in values] if None in values else values
