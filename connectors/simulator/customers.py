"""The people of the shop: who joins, how often each buys and visits, and when each one leaves for good.

Buying rates differ between customers by a gamma distribution and lifetimes by an exponential one whose hazard
differs too, as in the Pareto/NBD and BG/NBD models (Schmittlein et al. 1987, Fader et al. 2005). Gaps between
orders are gamma distributed in a time that runs faster on busy days. Before leaving a customer fades: fewer
visits, longer gaps. Moves no data.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from connectors.simulator import season
from connectors.simulator.config import DAY_US, ShopConfig

_COLUMNS: Final = np.dtype(
    [
        ("joined_at", np.int64),
        ("leaves_at", np.int64),
        ("fades_for", np.float64),  # microseconds before leaving in which the customer cools down
        ("rate", np.float64),  # orders per day of average pace
        ("regularity", np.float64),  # shape of the gamma gaps: 1 is random, more is more regular
        ("visits", np.float64),  # visits per day of average pace
        ("spend", np.float64),  # factor on the price of what is bought
        ("progress", np.float64),  # how far the customer is on the way to the next order ...
        ("need", np.float64),  # ... and how far that way is
    ]
)
CLOSING_TIME_US: Final = 2 * 3_600_000_000
"""No visit begins later than this before the customer leaves, so that none ends after it."""


class Visits(NamedTuple):
    """Visits of one day: customer's number, begin in microseconds, how far faded (0-1), factor on prices."""

    who: NDArray[np.int64]
    begins: NDArray[np.int64]
    fade: NDArray[np.float64]
    spend: NDArray[np.float64]


@dataclass(frozen=True)
class Day:
    """What the customers do on one day. Every array of a field has one entry per visit or ticket."""

    joining: Visits
    ordering: Visits
    browsing: Visits
    complaining: Visits
    passers_by: NDArray[np.int64]


class Population:
    """All customers ever, as one growing table, in which a customer's number is the position."""

    def __init__(self, config: ShopConfig, rng: np.random.Generator):
        self._config = config
        self._rng = rng
        weights = season.arrival_weights(config.start_us, config.history_days, config.growth)
        paces = [season.pace(config.start_us + n * DAY_US) for n in range(config.history_days)]
        per_pace = weights[0] / paces[0]
        self._arrivals_per_pace = float(config.customers * per_pace)
        self._table = np.zeros(1_024, dtype=_COLUMNS)
        self._count = 0
        self._active = np.empty(0, dtype=np.int64)

    @property
    def people(self) -> NDArray[np.void]:
        """The table of everybody who joined so far, in order of joining."""
        return self._table[: self._count]

    def advance(self, day_us: int) -> Day:
        """Live the day that begins at ``day_us``; days must come in order."""
        pace = season.pace(day_us)
        days = (day_us - self._config.start_us) / DAY_US
        grown = 1 + self._config.growth * min(days / self._config.history_days, 1)
        expected = self._arrivals_per_pace * pace * grown
        self._active = self._active[self.people["leaves_at"][self._active] > day_us]
        ordering, browsing, complaining = self._live(day_us, pace)
        return Day(
            joining=self._join(day_us, int(self._rng.poisson(expected))),
            ordering=ordering,
            browsing=browsing,
            complaining=complaining,
            passers_by=self._begins(day_us, int(self._rng.poisson(expected * self._config.passers_by))),
        )

    def _live(self, day_us: int, pace: float) -> tuple[Visits, Visits, Visits]:
        """Let those who are customers already live the day: orders, visits without an order, complaints."""
        rng, active = self._rng, self._active
        people = self.people[active]
        fade = np.clip(1 - (people["leaves_at"] - day_us) / people["fades_for"], 0, 1)
        cooled = pace * (1 - 0.65 * fade)
        progress = people["progress"] + people["rate"] * cooled
        orders = progress >= people["need"]
        ready = np.minimum(progress / people["need"], 1.0)
        visits = rng.poisson(people["visits"] * cooled * (0.35 + 1.3 * ready**3))
        tickets = rng.random(len(active)) < 0.0012 + 0.008 * fade
        self._table["progress"][active] = np.where(orders, 0.0, progress)
        bought = active[orders]
        shape = self._table["regularity"][bought]
        self._table["need"][bought] = np.maximum(rng.gamma(shape) / shape, 0.02)
        everyone = np.arange(len(active))
        chosen = (everyone[orders], np.repeat(everyone, visits), everyone[tickets])
        ordering, browsing, complaining = (self._visits(day_us, rows, fade) for rows in chosen)
        return ordering, browsing, complaining

    def _visits(self, day_us: int, rows: NDArray[np.int64], fade: NDArray[np.float64]) -> Visits:
        """Give each visit of the active customers in ``rows`` a time; drop what would end after leaving."""
        who, begins = self._active[rows], self._begins(day_us, len(rows))
        in_time = begins + CLOSING_TIME_US < self.people["leaves_at"][who]
        who, begins, rows = who[in_time], begins[in_time], rows[in_time]
        return Visits(who, begins, fade[rows], self.people["spend"][who])

    def _join(self, day_us: int, count: int) -> Visits:
        """Take in ``count`` new customers, who join with a first order."""
        rng = self._rng
        self._reserve(count)
        who = np.arange(self._count, self._count + count)
        people = self._table[who]
        people["joined_at"] = np.sort(self._begins(day_us, count))
        hazard = rng.gamma(1.6, 1 / 1.6, count) / 420
        lifetime = np.clip(rng.exponential(1 / hazard), 1, 36_500) * DAY_US
        people["leaves_at"] = people["joined_at"] + lifetime.astype(np.int64)
        cooling = np.clip(rng.lognormal(4.0, 0.4, count), 14, 120) * DAY_US
        people["fades_for"] = np.minimum(cooling, 0.6 * lifetime)
        people["rate"] = np.clip(rng.gamma(1.5, 1 / 50, count), 1 / 240, 1 / 4)
        people["regularity"] = np.clip(rng.lognormal(0.7, 0.4, count), 0.8, 6)
        people["visits"] = people["rate"] * rng.gamma(3.0, 0.5, count)
        people["spend"] = rng.lognormal(0.0, 0.4, count)
        people["need"] = np.maximum(rng.gamma(people["regularity"]) / people["regularity"], 0.02)
        self._table[who] = people
        self._count += count
        self._active = np.concatenate([self._active, who])
        return Visits(who, people["joined_at"], np.zeros(count), people["spend"])

    def _begins(self, day_us: int, count: int) -> NDArray[np.int64]:
        return day_us + season.times_of_day(self._rng.random(count))

    def _reserve(self, count: int) -> None:
        if self._count + count > len(self._table):
            grown = np.zeros(max(2 * len(self._table), self._count + count), dtype=_COLUMNS)
            grown[: self._count] = self.people
            self._table = grown
