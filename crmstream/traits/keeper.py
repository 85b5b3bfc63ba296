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
from crmstream.traits.accounts import publish_accounts
from crmstream.traits.people import PeoplesTraits, Stores
from crmstream.traits.rounds import TraitRounds
from sinks.clients import clickhouse_client, redis_client

PAUSE_SECONDS: Final = 2.0
SHARE: Final = 4.0
"""A pause is at least so many times as long as the round before, so that rounds leave the stores to others."""
ACCOUNTS_SECONDS: Final = 30.0
ACCOUNTS_SHARE: Final = 20.0
"""The same of accounts: their sums are computed anew each time."""
ANSWER_SECONDS: Final = 60
AWAY: Final = (CrmError, ClickHouseError, RedisError, OSError)


class Stack(Protocol):
    """What is needed of a stack that runs."""

    @property
    def endpoints(self) -> Endpoints: ...  # noqa: D102


class TraitsKeeper:
    """The keeper of one installation; ``say`` is called with what people should know.

    A store that hangs takes a minute to fail: it must delay nobody, so ``begin`` runs each round.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        begin: Callable[[Callable[[], None]], Future[None]] = in_background,
    ):
        self._settings, self._say, self._clock, self._begin = settings, say, clock, begin
        self._rounds: TraitRounds | None = None
        self._pending = Pending(settings)
        self._stores: Stores | None = None
        self._round: Future[None] | None = None
        self._began = self._next = self._next_accounts = 0.0
        self._in_trouble = False

    def look_after(self, stack: Stack) -> None:
        """Begin a round if it is time for one. Call it often."""
        now = self._clock()
        if self._round is not None and self._round.done():
            self._settle(self._round, now)
            self._round = None
        if self._round is None and now >= self._next and self._settings.publish_traits:
            self._began, endpoints = now, stack.endpoints
            self._round = self._begin(lambda: self._once(endpoints))

    def _settle(self, done: Future[None], now: float) -> None:
        """Set the time of the next round, and say what went wrong or is well again, once."""
        self._next = now + max(PAUSE_SECONDS, SHARE * (now - self._began))
        try:
            done.result()
        except Exception as error:  # noqa: BLE001 - whatever it is: servers and workers go on, and it is tried again
            self._stores = None
            if not self._in_trouble:
                told = str(error).splitlines() if isinstance(error, AWAY) else []
                self._say(f"traits in Redis wait: {told[0][:200] if told else type(error).__name__}")
            self._in_trouble = True
            return
        if self._in_trouble:
            self._in_trouble = False
            self._say("traits in Redis follow again")

    def _once(self, endpoints: Endpoints) -> None:
        stores = self._connected(endpoints)
        if self._rounds is None:
            declared = declared_traits(self._settings)
            expires = self._settings.visitor_days * DAY // SECOND
            people = PeoplesTraits(declared, expires, self._pending.ids)
            self._rounds = TraitRounds(people, declared)
        self._rounds.once(stores)
        began = time.monotonic()
        if began >= self._next_accounts:
            publish_accounts(stores)
            took = time.monotonic() - began
            self._next_accounts = time.monotonic() + max(ACCOUNTS_SECONDS, ACCOUNTS_SHARE * took)

    def _connected(self, endpoints: Endpoints) -> Stores:
        if self._stores is None:
            database = self._settings.clickhouse_database
            client = clickhouse_client(endpoints.clickhouse_url, database, answer_seconds=ANSWER_SECONDS)
            self._stores = Stores(client, redis_client(endpoints.redis_url))
        return self._stores


class Pending:
    """The profile ids that are being erased, as the list of forgotten people has them now."""

    def __init__(self, settings: Settings):
        self._path = forgotten_path(settings)
        self._look: Fingerprint | None = None
        self._ids: Set[str] = frozenset()

    def ids(self) -> Set[str]:
        """Return them. Raises :class:`contracts.errors.SettingsError` if the list is damaged."""
        look = fingerprint(self._path)
        if look != self._look:
            self._ids, self._look = read_forgotten(self._path).pending, look
        return self._ids
