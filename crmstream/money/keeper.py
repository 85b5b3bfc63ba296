"""Brings the base currency and the exchange rates into force: before the workers start, and when their files change.

Workers read one file that is written here, so all of a run have the same. A change restarts them; what waits in the
profiles they convert themselves, what waits in ClickHouse is converted here, after the workers of before have stopped.
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Final, Protocol

from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.base_currency import FILE as DECISION_FILE
from contracts.base_currency import Decision
from contracts.errors import CrmError
from contracts.rates import Rates
from contracts.settings import Settings
from contracts.whole_files import Fingerprint, fingerprint
from crmstream.background import in_background
from crmstream.money.installation import installation_rates
from crmstream.money.rates_file import rates_path
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from sinks.exchange_rates import convert_amounts, store_rates
from streams.in_force import save_rates
from streams.recovery import prepare_recovery
from streams.recovery_files import check_files

LOOK_SECONDS: Final = 1.0
"""How often the files are looked at."""
AGAIN_SECONDS: Final = 15.0
"""When to convert again, where ClickHouse did not answer or may still have had rows of killed workers under way."""
_Look = tuple[Fingerprint | None, ...]


class Stack(Protocol):
    """What is needed of a stack that runs."""

    @property
    def endpoints(self) -> Endpoints: ...  # noqa: D102

    @property
    def restarting(self) -> bool: ...  # noqa: D102

    def restart_workers(self, reason: str) -> None: ...  # noqa: D102


class RatesKeeper:
    """The keeper of one installation; ``say`` is called with what people should know.

    A conversion may take long, and a ClickHouse that hangs takes minutes to fail: it must delay nobody, so ``begin``
    runs it.
    """

    def __init__(
        self,
        settings: Settings,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        begin: Callable[[Callable[[], None]], Future[None]] = in_background,
    ):
        self._settings = settings
        self._begin = begin
        self._conversion: Future[None] | None = None
        self._say = say
        self._clock = clock
        self._rates = Rates()
        self._look: _Look = ()
        self._next_look = 0.0
        self._due: list[float] = []
        self._trouble = ""
        self.decision: Decision | None = None

    def bring_into_force(self) -> None:
        """Read the files, make the state ready and write what workers read, before they start.

        Raises :class:`contracts.errors.CrmError`, before anything is written, where the files contradict each other.
        """
        self._look = self._looks()
        self._rates, self.decision = installation_rates(self._settings)
        folder = prepare_recovery(self._settings, self._rates.base)
        if not self._settings.cluster_addresses:  # else worker 0 does it, while no other host has the files open
            check_files(folder)
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
        if look != self._look and self._follow(stack):
            self._look = look
        if self._conversion is None and self._due and now >= self._due[0] and not stack.restarting:
            self._due.pop(0)
            self._conversion = self._begin(partial(self.convert, stack.endpoints))
        if self._conversion is not None and self._conversion.done():
            self._settle(self._conversion, now)
            self._conversion = None

    def _settle(self, conversion: Future[None], now: float) -> None:
        """Try again later what failed."""
        try:
            conversion.result()
        except (CrmError, ClickHouseError) as error:
            self._due.insert(0, now + AGAIN_SECONDS)
            self._say(f"waiting amounts in ClickHouse are converted later: {str(error).splitlines()[0][:200]}")

    def _follow(self, stack: Stack) -> bool:
        """Bring what the files say now into force; return whether that is settled, so that they need no other look."""
        try:
            rates, decision = installation_rates(self._settings)
            if rates == self._rates:
                return True
            prepare_recovery(self._settings, rates.base)
            save_rates(self._settings.data_dir, rates)
        except CrmError as error:
            self._say(f"base currency and exchange rates stay as they were: {error}")
            return True
        except OSError as error:  # a full disk: there may be room later
            self._say_once(f"base currency and exchange rates stay as they were for now: {error.strerror}")
            return False
        news = f"the base currency is {decision}" if decision != self.decision else "the exchange rates changed"
        self._rates, self.decision, self._trouble = rates, decision, ""
        stack.restart_workers(news)
        now = self._clock()
        self._due = [now, now + AGAIN_SECONDS]
        return True

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._say(trouble)

    def _looks(self) -> _Look:
        return tuple(map(fingerprint, (self._settings.data_dir / DECISION_FILE, rates_path(self._settings))))
