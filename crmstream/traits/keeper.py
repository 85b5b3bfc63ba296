"""Keeps traits and accounts in Redis while the stack runs: a round in the background every few seconds."""

import time
from collections.abc import Callable, Set
from concurrent.futures import Future
from typing import Final, Protocol

from clickhouse_connect.driver.exceptions import ClickHouseError
from redis import RedisError

from contracts.errors import CrmError
from contracts.forgotten import forgotten_path, read_forgotten
from contracts.settings import Settings
from contracts.times import DAY, SECOND
from contracts.whole_files import Fingerprint, fingerprint
from crmstream.background import in_background
from crmstream.declared_traits import declared_traits
from crmstream.stack.endpoints import Endpoints
from crmstream.stores import Stores
from crmstream.traits.accounts import publish_accounts
from crmstream.traits.people import PeoplesTraits
from crmstream.traits.rounds import TraitRounds
from sinks.clients import clickhouse_client, redis_client

PAUSE_SECONDS: Final = 2.0
MOST_PAUSE_SECONDS: Final = 30.0
SHARE: Final = 4.0
"""A pause is so many times as long as the round before, within these bounds: rounds leave the stores to others."""
ACCOUNTS_SECONDS: Final = 30.0
ACCOUNTS_SHARE: Final = 20.0
"""The same of accounts, without an upper bound: their sums are computed anew each time."""
ANSWER_SECONDS: Final = 300
AWAY: Final = (CrmError, ClickHouseError, RedisError, OSError)


class Stack(Protocol):
    """What is needed of a stack that runs."""

    @property
    def endpoints(self) -> Endpoints: ...  # noqa: D102


class TraitsKeeper:
    """The keeper of one installation; ``say`` is called with what people should know.

    A store that hangs takes minutes to fail: it must delay nobody, so ``begin`` runs each round.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        begin: Callable[[Callable[[], None]], Future[None]] = in_background,
    ):
        self._settings, self._say, self._clock, self._begin = settings, say, clock, begin
        self._pending = Pending(settings)
        self._stores: Stores | None = None
        self._rounds: TraitRounds | None = None
        self._jobs = {"traits": _Job(self._traits), "accounts": _Job(self._accounts)}

    def look_after(self, stack: Stack) -> None:
        """Begin a round if it is time for one. Call it often."""
        if not self._settings.publish_traits:
            return
        now = self._clock()
        for name, job in self._jobs.items():
            if job.round is not None and job.round.done():
                self._settle(name, job, now)
        if any(job.round is not None for job in self._jobs.values()):
            return
        due = [job for job in self._jobs.values() if now >= job.next]
        if due:
            job, endpoints = min(due, key=lambda each: each.next), stack.endpoints
            job.began, job.round = now, self._begin(lambda: job.run(endpoints))

    def _settle(self, name: str, job: "_Job", now: float) -> None:
        """Set the time of the next round, and say what went wrong or is well again, once."""
        took, done, job.round = now - job.began, job.round, None
        pause = min(MOST_PAUSE_SECONDS, max(PAUSE_SECONDS, SHARE * took))
        job.next = now + (pause if name == "traits" else max(ACCOUNTS_SECONDS, ACCOUNTS_SHARE * took))
        error = None if done is None else done.exception()
        if error is not None:  # whatever it is: servers and workers go on, and it is tried again
            self._stores = None
            if not job.in_trouble:
                told = str(error).splitlines() if isinstance(error, AWAY) else []
                self._say(f"{name} in Redis wait: {told[0][:200] if told else type(error).__name__}")
        elif job.in_trouble:
            self._say(f"{name} in Redis follow again")
        job.in_trouble = error is not None

    def _traits(self, endpoints: Endpoints) -> None:
        stores = self._connected(endpoints)
        if self._rounds is None:
            expires = self._settings.visitor_days * DAY // SECOND
            self._rounds = TraitRounds(PeoplesTraits(declared_traits(self._settings), expires, self._pending))
        self._rounds.once(stores)

    def _accounts(self, endpoints: Endpoints) -> None:
        publish_accounts(self._connected(endpoints))

    def _connected(self, endpoints: Endpoints) -> Stores:
        if self._stores is None:
            database = self._settings.clickhouse_database
            client = clickhouse_client(endpoints.clickhouse_url, database, answer_seconds=ANSWER_SECONDS)
            self._stores = Stores(client, redis_client(endpoints.redis_url))
        return self._stores


class _Job:
    """One of the things that are done in rounds. Times are in seconds."""

    def __init__(self, run: Callable[[Endpoints], None]):
        self.run = run
        self.round: Future[None] | None = None
        self.began = self.next = 0.0
        self.in_trouble = False


class Pending:
    """The profile ids that are being erased, as the list of forgotten people has them now."""

    def __init__(self, settings: Settings):
        self._path = forgotten_path(settings)
        self._look: Fingerprint | None = None
        self._ids: Set[str] = frozenset()

    def look(self) -> Fingerprint | None:
        """Return what differs when the list has changed."""
        return fingerprint(self._path)

    def ids(self) -> Set[str]:
        """Return them. Raises :class:`contracts.errors.SettingsError` if the list is damaged."""
        look = self.look()
        if look != self._look:
            self._ids, self._look = read_forgotten(self._path).pending, look
        return self._ids
