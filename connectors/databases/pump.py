"""Carry what a source reads into Kafka, batch by batch, with the source's position.

Delivery: exactly once into Kafka by position. Events and the position after them become readable together; a start
reads the position back and goes on from there. Killed at any moment, nothing is lost and nothing doubled.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event as StopEvent
from typing import Any, Final, NamedTuple, Protocol

from confluent_kafka import TopicPartition

from connectors.databases.changes import Change, Mapper
from connectors.databases.seal import Seal
from connectors.door.door import Door
from connectors.kafka.at_work import Intent
from connectors.kafka.positions import Position, read_position
from connectors.kafka.publisher import tick_body
from connectors.kafka.transactions import TransactionalPublisher
from connectors.protocol import Record
from contracts.errors import StoreUnavailableError
from contracts.events import TICK_KEY
from contracts.refused import REFUSED_KEY
from contracts.topics import TRANSACTIONS

FIRST_WAIT_SECONDS: Final = 0.5
MOST_WAIT_SECONDS: Final = 30.0
IDLE_POSITION_SECONDS: Final = 30.0
"""A position that moved without events is written this often: after a crash so much is read again, to no effect."""
_INTENTS: Final[tuple[Intent, ...]] = ("open", "finished")
OPEN, FINISHED = (
    Record(TRANSACTIONS.name, TICK_KEY, tick_body(0, "connect", intent), None) for intent in _INTENTS
)
"""Notes of what the connector intends; they move no clock."""


class Unreadable(NamedTuple):
    """Something that is no change of a row: what came, and what is wrong with it."""

    original: object
    field: str
    problem: str


class Step(NamedTuple):
    """What was read since the step before, and the position after it.

    ``caught_up``: there was no more. ``durable``: the position must be in Kafka before the source goes on. ``offsets``
    go into the transaction along with it.
    """

    changes: Sequence[Change | Unreadable]
    position: Position
    caught_up: bool = False
    durable: bool = False
    offsets: tuple[list[TopicPartition], Any] | None = None


class Source(Protocol):
    """Something that can be read from a position on. ``reached``: whether there has been contact with it."""

    reached: bool

    def steps(self, position: Position | None, *, again: bool) -> Iterator[Step]:
        """Connect and read from a position, or from the beginning; ``again`` after contact was lost.

        Waits a second at most between two steps. Raises :class:`StoreUnavailableError` when contact is lost.
        """
        ...

    def confirm(self, position: Position) -> None:
        """Take note that Kafka holds everything up to a position."""
        ...

    def told(self) -> str:
        """Say in a few words where the reading stands, and how far it is behind."""
        ...

    def close(self) -> None:
        """Leave the source; it may be asked for steps again."""
        ...


@dataclass
class Figures:
    """What a run has done so far."""

    events: int = 0
    refused: int = 0
    left_out: int = 0
    started: float = field(default_factory=time.monotonic)
    position: Position | None = None

    @property
    def per_second(self) -> float:
        """Events per second since the start."""
        return self.events / max(time.monotonic() - self.started, 1e-3)


class Rules(NamedTuple):
    """How what is read becomes records: a mapper for each table, and the door that they lead through."""

    mappers: Mapping[str, Mapper]
    door: Door


@dataclass(frozen=True)
class Pump:
    """One connector: a source, what its rows mean, and where they go. ``name`` is that of its position.

    ``rules`` is asked for each step anew, since they may change; if it raises, the run ends before the step is written.
    ``seal`` keeps the keys of rows out of the positions in Kafka.
    """

    source: Source
    rules: Callable[[], Rules]
    bootstrap_servers: str
    partitions: int
    name: str
    stop: StopEvent
    on_progress: Callable[[Figures], None]
    on_trouble: Callable[[str, float], None]
    seal: Seal = field(default_factory=Seal)

    def run(self, *, once: bool = False) -> Figures:
        """Carry until ``stop`` is set or, with ``once``, until nothing is left to read.

        After a first contact, a source or a Kafka that goes away is waited for, ever longer. Raises
        :class:`contracts.errors.CrmError` for what waiting does not mend.
        """
        return _Run(self).until_done(once=once)


class _Run:
    """One run of a pump: the producer and the position that Kafka holds."""

    def __init__(self, pump: Pump):
        self._pump = pump
        self._figures = Figures()
        self._publisher: TransactionalPublisher | None = None
        self._failures = 0
        self._written_at = 0.0
        self._backlog = False

    def until_done(self, *, once: bool) -> Figures:
        while True:
            try:
                self._carry(once=once)
            except StoreUnavailableError as error:
                if once or not self._pump.source.reached:
                    raise
                self._wait(error)
            else:
                return self._figures
            finally:
                self._pump.source.close()
            if self._pump.stop.is_set():
                return self._figures

    def _wait(self, error: StoreUnavailableError) -> None:
        seconds = min(MOST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**self._failures)
        self._failures += 1
        self._pump.on_trouble(str(error), seconds)
        self._pump.stop.wait(seconds)

    def _carry(self, *, once: bool) -> None:
        position = self._start()
        for step in self._pump.source.steps(position, again=self._pump.source.reached):
            self._failures = 0
            self._take(step)
            self._pump.on_progress(self._figures)
            if self._pump.stop.is_set() or (once and step.caught_up):
                break
        self._leave(step.position)

    def _start(self) -> Position | None:
        """Make sure that this is the only connector of its name, and find its position."""
        pump, figures = self._pump, self._figures
        if self._publisher is None:
            publisher = TransactionalPublisher(pump.bootstrap_servers, pump.partitions, pump.name)
            figures.position = pump.seal.opened(read_position(pump.bootstrap_servers, pump.name))
            self._publisher = publisher  # only now: whether Kafka holds what was written last is known again
        elif figures.position is not None:
            self._write((), figures.position)  # refused if another one has taken over meanwhile
        return figures.position

    def _take(self, step: Step) -> None:
        records, note = list(self._records(step)), self._note(step)
        due = step.durable or time.monotonic() - self._written_at > IDLE_POSITION_SECONDS
        if records or note or (due and step.position != self._figures.position):
            self._write(records, step.position, step.offsets, note)
        self._backlog = not step.caught_up

    def _note(self, step: Step) -> tuple[Record, ...]:
        """Say that there is more, or for once that there is not: a backlog may be a history (see at_work)."""
        if step.caught_up:
            return (FINISHED,) if self._backlog else ()
        return (OPEN,) if step.changes else ()

    def _leave(self, position: Position) -> None:
        if position != self._figures.position:
            self._write((), position)

    def _write(
        self, records: Sequence[Record], position: Position, offsets: Any = None, note: tuple[Record, ...] = ()
    ) -> None:
        if self._publisher is None:
            raise RuntimeError("nothing is written before the start")
        try:
            self._publisher.write([*records, *note], self._pump.seal.closed(position), offsets)
        except StoreUnavailableError:
            self._publisher = None  # whether Kafka has it is unknown: the next start reads it back
            raise
        self._written_at = time.monotonic()
        refused = sum(record.key == REFUSED_KEY for record in records)
        self._figures.refused += refused
        self._figures.events += len(records) - refused
        self._figures.position = position
        self._pump.source.confirm(position)

    def _records(self, step: Step) -> Iterator[Record]:
        now = datetime.now(UTC)
        mappers, door = self._pump.rules()
        for change in step.changes:
            if isinstance(change, Unreadable):
                yield door.refuse(*change)
                continue
            mapper = mappers.get(change.table)
            records = list(mapper.records(change, now)) if mapper else []
            self._figures.left_out += not records
            yield from records
