"""Blocks of Redis hashes for tests of the writer, and a server that only remembers."""

import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import hiredis
import numpy as np
from numpy.typing import NDArray

from contracts.outputs import Commands, HashBlock, HashWrites, Order
from sinks.resp import commands_of


@dataclass(frozen=True)
class Texts:
    """A block whose rows have all the same fields, or fields of their own; made of text already."""

    ids: NDArray[np.object_]
    versions: NDArray[np.int64]
    columns: dict[str, list[str | None]]
    risk: NDArray[np.float64]
    prefix: str = "crm:score"
    live: bool = True
    guarded: bool = False
    oldest: int = 0
    order: Order = "newest"
    expires: int = 0
    clear: bool = True

    def take(self, at: NDArray[np.int64]) -> Self:
        columns = {name: [values[row] for row in at.tolist()] for name, values in self.columns.items()}
        return replace(self, ids=self.ids[at], versions=self.versions[at], columns=columns, risk=self.risk[at])

    def fits(self, other: HashBlock) -> bool:
        same = ("prefix", "expires", "clear")
        return (
            isinstance(other, Texts)
            and self.columns.keys() == other.columns.keys()
            and all(getattr(self, name) == getattr(other, name) for name in same)
        )

    def join(self, others: Sequence[Self]) -> Self:
        every = (self, *others)
        return replace(
            self, ids=np.concatenate([each.ids for each in every]),
            versions=np.concatenate([each.versions for each in every]),
            columns={name: [value for each in every for value in each.columns[name]] for name in self.columns},
            risk=np.concatenate([each.risk for each in every]),
        )  # fmt: skip

    def texts(self) -> HashWrites:
        count = len(self.ids)
        ranks = {} if self.prefix == "crm:profile" else {"churn": self.risk}
        return HashWrites(self.prefix, self.ids.tolist(), self.versions, dict(self.columns), [self.clear] * count,
                          [self.expires] * count, ranks)  # fmt: skip

    def commands(self) -> Commands:
        return commands_of(self.texts())


def block(
    ids: Sequence[str], version: int, risk: float = 0.5, *, fields: dict[str, str | None] | None = None, **changes: Any
) -> Texts:
    """One block: the same fields and rank for all its ids."""
    values = {"risk": str(risk)} if fields is None else fields
    columns = {name: [value] * len(ids) for name, value in values.items()}
    whole = np.array([*ids, ""], object)[:-1]
    return Texts(whole, np.full(len(ids), version, np.int64), columns, np.full(len(ids), risk), **changes)


@dataclass
class Server:
    """Redis as far as the writer needs it: hashes, sorted sets, and one script. ``fails`` is asked before each command.

    What ``fails`` returns: '' goes on, 'before' ends the connection before the command is applied, 'after' afterwards,
    any other text is the answer, as an error.
    """

    fails: Callable[[tuple[str, ...]], str] = lambda _: ""
    hashes: dict[str, dict[str, str]] = field(default_factory=dict)
    tops: dict[str, dict[str, float]] = field(default_factory=dict)
    expires: dict[str, int] = field(default_factory=dict)
    commands: list[tuple[str, ...]] = field(default_factory=list)

    def apply(self, command: tuple[str, ...]) -> bytes:
        self.commands.append(command)
        name, key, *rest = command
        match name:
            case "HSET":
                self.hashes.setdefault(key, {}).update(zip(rest[::2], rest[1::2], strict=True))
            case "HDEL":
                for each in rest:
                    self.hashes.get(key, {}).pop(each, None)
            case "DEL":
                self.hashes.pop(key, None)
            case "EXPIRE":
                self.expires[key] = int(rest[0])
            case "ZADD":
                scores = zip(rest[1::2], map(float, rest[::2]), strict=True)
                self.tops.setdefault(key, {}).update(scores)
            case "ZREM":
                for each in rest:
                    self.tops.get(key, {}).pop(each, None)
            case "EVALSHA":
                return b":%d\r\n" % self._guard(rest)
        return b":1\r\n"

    def _guard(self, words: list[str]) -> int:
        """The script ``apply_hashes.lua``, in Python."""
        count = int(words[0])
        keys, (fields, outcomes, id_at, version_field, *arguments) = words[1 : count + 1], words[count + 1 :]
        n, names = count - int(outcomes), arguments[: int(fields)]
        values = arguments[int(fields) :]
        columns = [values[start : start + n] for start in range(0, len(values), n)]
        applied = 0
        for row, key in enumerate(keys[:n]):
            version, expires, *rest = (column[row] for column in columns)
            if int(self.hashes.get(key, {}).get(version_field, "0")) > int(version):
                continue
            applied += 1
            if expires == "-1":
                self.hashes.pop(key, None)
            else:
                there = self.hashes.setdefault(key, {})
                there[version_field] = version
                for name, value in zip(names, rest, strict=False):
                    if value == "\0":
                        there.pop(name, None)
                    else:
                        there[name] = value
            for top, rank in zip(keys[n:], rest[len(names) :], strict=True):
                customer = key[int(id_at) - 1 : -1]
                if rank == "nan":
                    self.tops.get(top, {}).pop(customer, None)
                else:
                    self.tops.setdefault(top, {})[customer] = float(rank)
        return applied


class FakeConnection:
    """Stands in for a connection of the client library: bytes in, answers out."""

    def __init__(self, server: Server):
        self._server = server
        self._sock: Any = self
        self._requests = hiredis.Reader(encoding="utf-8")
        self._answers = b""
        self.broken = False

    def send_packed_command(self, pieces: Sequence[bytes | memoryview], check_health: bool = True) -> None:
        assert not check_health
        for piece in pieces:
            self._requests.feed(bytes(piece))
        while (command := self._requests.gets()) is not False:
            words = tuple(map(str, command))
            answer = "" if self.broken else self._server.fails(words)
            self.broken = self.broken or answer == "before"
            if self.broken:
                continue
            if answer in ("", "after"):
                self._answers += self._server.apply(words)
                self.broken = answer == "after"
            else:
                self._answers += f"-{answer}\r\n".encode()

    def recv(self, _: int) -> bytes:
        found, self._answers = self._answers, b""
        if not found:
            raise socket.timeout if not self.broken else ConnectionResetError
        return found

    def disconnect(self) -> None:
        self.broken = True


class FakeClient:
    """Stands in for :class:`redis.Redis`."""

    def __init__(self, server: Server):
        self.server = server
        self.connections = 0
        self.closed = threading.Event()
        self.connection_pool = self

    def get_connection(self) -> FakeConnection:
        self.connections += 1
        return FakeConnection(self.server)

    def release(self, connection: FakeConnection) -> None:
        assert connection.broken

    def close(self) -> None:
        self.closed.set()
