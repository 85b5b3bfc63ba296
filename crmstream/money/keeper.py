"""Brings the base currency and the exchange rates into force: before the workers start, and when their files change.

Workers read one file that is written here, so all of a run have the same. A change restarts them; what waits in the
profiles they convert themselves, what waits in ClickHouse is converted here, after the workers of before have stopped.
"""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Final, Protocol

from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.base_currency import FILE as DECISION_FILE
from contracts.base_currency import Decision
from contracts.errors import CrmError
from contracts.rates import Rates
from contracts.settings import Settings
from crmstream.money.installation import installation_rates
from crmstream.money.rates_file import rates_path
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from sinks.exchange_rates import convert_amounts, store_rates
from streams.in_force import save_rates
from streams.recovery import prepare_recovery

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at."""
AGAIN_SECONDS: Final = 15.0
"""When to convert again, where ClickHouse did not answer or may still have had rows of killed workers under way."""
_Look = tuple[tuple[int, int, int] | None, ...]


class Stack(Protocol):
    """What is needed of a stack that runs."""

    @property
    def endpoints(self) -> Endpoints: ...  # noqa: D102

    def restart_workers(self, reason: str) -> None: ...  # noqa: D102


class RatesKeeper:
    """The keeper of one installation; ``say`` is called with what people should know."""

    def __init__(self, settings: Settings, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic):
        self._settings = settings
        self._say = say
        self._clock = clock
        self._rates = Rates()
        self._look: _Look = ()
        self._next_look = 0.0
        self._due: list[float] = []
        self.decision: Decision | None = None

    def bring_into_force(self) -> None:
        """Read the files, make the state ready and write what workers read, before they start.

        Raises :class:`contracts.errors.CrmError`, before anything is written, where the files contradict each other.
        """
        self._look = self._looks()
        self._rates, self.decision = installation_rates(self._settings)
        prepare_recovery(self._settings, self._rates.base)
        save_rates(self._settings.data_dir, self._rates)
        self._due = [self._clock() + AGAIN_SECONDS]

    def convert(self, endpoints: Endpoints) -> None:
        """Convert what waits in ClickHouse; the database must be up to date, and no worker run with other rates."""
        with closing(clickhouse_client(endpoints.clickhouse_url, self._settings.clickhouse_database)) as client:
            store_rates(client, self._rates)
            convert_amounts(client)

    def look_after(self, stack: Stack) -> None:
        """Follow the files if they have changed. Call it often; it looks about once a second."""
        now = self._clock()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        look = self._looks()
        if look != self._look:
            self._look = look
            self._follow(stack)
        if self._due and now >= self._due[0]:
            try:
                self.convert(stack.endpoints)
                self._due.pop(0)
            except (CrmError, ClickHouseError) as error:
                self._due[0] = now + AGAIN_SECONDS
                self._say(f"waiting amounts in ClickHouse are converted later: {str(error).splitlines()[0][:200]}")

    def _follow(self, stack: Stack) -> None:
        try:
            rates, decision = installation_rates(self._settings)
            if rates == self._rates:
                return
            prepare_recovery(self._settings, rates.base)
        except CrmError as error:
            self._say(f"base currency and exchange rates stay as they were: {error}")
            return
        save_rates(self._settings.data_dir, rates)
        news = f"the base currency is {decision}" if decision != self.decision else "the exchange rates changed"
        self._rates, self.decision = rates, decision
        stack.restart_workers(news)
        now = self._clock()
        self._due = [now, now + AGAIN_SECONDS]

    def _looks(self) -> _Look:
        return tuple(map(_look_of, (self._settings.data_dir / DECISION_FILE, rates_path(self._settings))))


def _look_of(path: Path) -> tuple[int, int, int] | None:
    """A fingerprint of a file's content; None if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
