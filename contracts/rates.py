"""Exchange rates: the worth of one unit of a currency in the base currency, by the day of the event.

An amount without a rate *waits*: its event counts at once, its money is added when there is a rate. All functions here
depend on the rates and the event only, so the moment of the conversion does not matter.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from contracts.currencies import number_of
from contracts.events import MAX_AMOUNT
from contracts.times import DAY

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SCALE: Final = 10_000
"""Money is held in 1/10,000 of its currency."""
WAITS: Final = -1
"""Marks an amount without a rate in a column of converted amounts."""
_EPOCH: Final = date(1970, 1, 1)
_FIRST_DAY: Final = 0

Steps = tuple[tuple[int, float], ...]
"""The rates of one currency: first day (since 1970) and rate, in ascending order of days."""


@dataclass(frozen=True)
class Rates:
    """The base currency and the rates in force. While ``base`` is None (undecided), all amounts wait.

    The first rate of a currency also holds for all days before its own.
    """

    base: str | None = None
    steps: Mapping[str, Steps] = field(default_factory=dict)

    @cached_property
    def all_steps(self) -> Mapping[str, Steps]:
        """Return all rates: with the base currency's, and each currency's first rate from day 0 on."""
        if self.base is None:
            return {}
        own: dict[str, Steps] = {self.base: ((_FIRST_DAY, 1.0),)}
        return own | {code: ((_FIRST_DAY, rows[0][1]), *rows[1:]) for code, rows in self.steps.items()}

    @cached_property
    def _columns(self) -> "Mapping[int, tuple[NDArray[np.int64], NDArray[np.float64]]]":
        import numpy as np  # noqa: PLC0415 - the collector reads rates, and must stay small

        return {
            number_of(code): (np.array([day for day, _ in rows], np.int64), np.array([rate for _, rate in rows]))
            for code, rows in self.all_steps.items()
        }

    def worth(
        self, currency: "NDArray[np.int16]", occurred: "NDArray[np.int64]", amount: "NDArray[np.int64]"
    ) -> "NDArray[np.int64]":
        """Return amounts in 1/10,000 of the base currency, :data:`WAITS` where there is no rate.

        ``currency`` holds the numbers of :func:`contracts.currencies.number_of` (0: no money), ``occurred`` the events'
        times in microseconds, ``amount`` 1/10,000 of their own currency. Amounts above the limit of one event wait too,
        because the rate must be wrong. An amount of 0 needs no rate.
        """
        import numpy as np  # noqa: PLC0415 - the collector reads rates, and must stay small

        worth: NDArray[np.int64] = np.where((currency == 0) | (amount == 0), 0, WAITS).astype(np.int64)
        for number in np.unique(currency).tolist():
            if number not in self._columns:
                continue
            days, rates = self._columns[number]
            mine = currency == number
            at = np.searchsorted(days, occurred[mine] // DAY, "right") - 1
            value = np.rint(amount[mine] * rates[at])
            worth[mine] = np.where(value <= MAX_AMOUNT * SCALE, value, WAITS)
        return worth

    def as_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"base_currency": self.base, "rates": {code: list(map(list, rows)) for code, rows in self.steps.items()}}


def rates_of_json(found: Mapping[str, Any]) -> Rates:
    """Read the rates that :meth:`Rates.as_json` wrote."""
    steps = {code: tuple((int(day), float(rate)) for day, rate in rows) for code, rows in found["rates"].items()}
    return Rates(found["base_currency"], steps)


def constant_steps(rates: Mapping[str, float]) -> dict[str, Steps]:
    """Return steps for rates that hold on all days."""
    return {code: ((_FIRST_DAY, rate),) for code, rate in rates.items()}


def steps_of(rows: Iterable[tuple[str, date | None, float]]) -> dict[str, Steps]:
    """Return steps for rows of currency, first day (None: day 0) and rate. Days of a currency must be unique."""
    found: dict[str, list[tuple[int, float]]] = {}
    for code, first, rate in rows:
        found.setdefault(code, []).append((day_number(first) if first else _FIRST_DAY, rate))
    return {code: tuple(sorted(days)) for code, days in found.items()}


def day_number(day: date) -> int:
    """Return the days since 1970."""
    return (day - _EPOCH).days


def day_of(number: int) -> date:
    """Return the date so many days after 1970-01-01."""
    return _EPOCH + timedelta(days=number)
