"""Score a purchase history as of past dates on a throw-away stack, by the same dataflow as always.

Only what happened before the last date is published at all, and the scores of a date are those of the sweep at that
midnight, which knows nothing later. What a sweep says is a function of the log alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time
from itertools import chain, takewhile
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from connectors.kafka.publisher import HOUR_US
from connectors.protocol import Record
from contracts.errors import SettingsError
from contracts.settings import Settings
from crmstream.running import apart, money_in
from sinks.queries import query

OUTCOMES: Final = ("churn", "opportunity")
SECOND_US: Final = 1_000_000
NEVER_DORMANT_DAYS: Final = 36_500
EPOCH_SECONDS: Final = 5.0
"""Snapshots are rare: what is thrown away need not go on soon after a crash."""
"""Everybody ever seen is asked for, so nobody may be left out of a sweep for having been silent."""
ScoreRow = tuple[str, date, float | None, float | None]


class History:
    """What a history holds before a moment (microseconds since 1970 UTC): a connector.

    ``records`` are in the order of their event time. The first is taken at once, so that a file which can't be read
    says so before anything is started. ``first_us`` is its time; None if there is none.
    """

    def __init__(self, records: Iterable[Record], until_us: int):
        self._records = iter(records)
        self._until_us = until_us
        self._head = [record for record in [next(self._records, None)] if record is not None]
        self.first_us = self._head[0].occurred_at if self._head else None

    def records(self) -> Iterator[Record]:
        """Yield the records before the moment."""
        return takewhile(self._is_before, chain(self._head, self._records))

    def _is_before(self, record: Record) -> bool:
        return (record.occurred_at or 0) < self._until_us


def midnights(days: Sequence[date], settings: Settings, now: datetime) -> list[int]:
    """Midnight UTC of each day, ascending, once each, in microseconds since 1970.

    Raises :class:`SettingsError` for a day that has not come yet, or at whose midnight no sweep happens.
    """
    sweep_us = settings.sweep_hours * HOUR_US
    moments = []
    for day in sorted(set(days)):
        midnight = datetime.combine(day, time(), UTC)
        moment = int(midnight.timestamp()) * SECOND_US
        if midnight > now:
            raise SettingsError(f"--at: {day:%Y-%m-%d} has not come yet.")
        if moment % sweep_us:
            raise SettingsError(
                f"--at: there is no sweep at midnight of {day:%Y-%m-%d}, since CRM_SWEEP_HOURS is "
                f"{settings.sweep_hours}. Unset it, or set it to 24.")
        moments.append(moment)
    return moments


def throwaway_settings(settings: Settings, folder: Path, workers: int, currency: str) -> Settings:
    """The user's settings for a local stack in ``folder`` that shares no server, port or data with any other.

    Its base currency is that of the history, whatever the user's is: no rate is needed then.

    Raises :class:`SettingsError` when the outcomes that predictions are made of are not declared.
    """
    declared = {outcome.name for outcome in settings.outcomes}
    missing = [name for name in OUTCOMES if name not in declared]
    if missing:
        raise SettingsError(
            f"CRM_OUTCOMES declares no {' and no '.join(missing)}, which a backtest predicts. Unset it, or add them.")
    if workers > settings.partitions:
        raise SettingsError(f"--workers: {workers} is more than CRM_PARTITIONS ({settings.partitions}).")
    return apart(
        settings, folder, workers=workers, dormant_days=NEVER_DORMANT_DAYS, epoch_seconds=EPOCH_SECONDS, time="history",
        publish_traits=False, **money_in(currency),
    )  # fmt: skip


def read_scores(client: Client, moments: Sequence[int]) -> Iterator[ScoreRow]:
    """Yield customer, day, churn and opportunity by time and customer; None where the question is not asked."""
    parameters = {
        "first": OUTCOMES[0],
        "second": OUTCOMES[1],
        "times": [moment // SECOND_US for moment in moments],
    }
    with client.query_rows_stream(query("scores_at"), parameters=parameters) as rows:
        yield from rows


def count_unscored(client: Client, moment: int) -> int:
    """Return how many known customers the sweep of a moment has not stored yet.

    A large sweep goes on in slices after the log is worked off, so the positions in the log do not tell.
    """
    count: int = client.query(query("unscored_at"), {"time": moment // SECOND_US}).first_row[0]
    return max(count, 0)


def csv_row(row: ScoreRow) -> tuple[str, str, str, str]:
    """A row of the predictions file: scores with six digits, empty where there is none."""
    customer, day, *scores = row
    first, second = ("" if score is None else f"{score:.6f}" for score in scores)
    return customer, day.isoformat(), first, second
