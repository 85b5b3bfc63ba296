"""When people shop: day of the week, season of the year, hour of the day. Pure functions of time."""

from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from connectors.simulator.config import DAY_US

WEEKDAYS: Final = (0.94, 0.88, 0.90, 0.96, 1.08, 1.20, 1.04)
"""Pace of Monday to Sunday; their mean is 1."""
HOURS: Final = np.array(
    [2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 13, 14, 15, 14, 13, 13, 14, 16, 19, 22, 22, 17, 10, 5], dtype=np.float64
)
"""Weight of each hour (UTC) of the day."""
_HOUR_EDGES: Final = np.concatenate([[0.0], np.cumsum(HOURS / HOURS.sum())])


def pace(day_us: int) -> float:
    """How busy the day that begins at ``day_us`` is; about 1 on average over a year."""
    day = datetime.fromtimestamp(day_us // 1_000_000, UTC)
    since_peak = day.timetuple().tm_yday - 335
    winter = 0.15 * np.cos(2 * np.pi * since_peak / 365.25)
    rush = 0.45 * np.exp(-0.5 * (since_peak / 8) ** 2)
    return float(WEEKDAYS[day.weekday()] * (0.97 + winter + rush))


def arrival_weights(start_us: int, days: int, growth: float) -> NDArray[np.float64]:
    """Relative numbers of joining customers on each of ``days`` days; they sum to 1. Shape (days,)."""
    weights = np.array([pace(start_us + n * DAY_US) * (1 + growth * n / days) for n in range(days)])
    return np.asarray(weights / weights.sum())


def times_of_day(uniforms: NDArray[np.float64]) -> NDArray[np.int64]:
    """Turn numbers from [0, 1) into microseconds after midnight, by the weights of the hours."""
    return np.asarray(np.interp(uniforms, _HOUR_EDGES, np.arange(25)) * (DAY_US // 24)).astype(np.int64)
