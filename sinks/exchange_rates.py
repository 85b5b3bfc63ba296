"""Money in ClickHouse: the table of exchange rates, and transactions whose amount waits for a rate.

Delivery: idempotent. Every function may run twice, or again after a crash.
"""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from clickhouse_connect.driver.client import Client

from contracts.events import MAX_AMOUNT
from contracts.rates import SCALE, Rates, day_of
from sinks.queries import query

TABLE: Final = "exchange_rates"


@dataclass(frozen=True)
class Waiting:
    """The waiting amounts of one currency."""

    currency: str
    amounts: int
    total: Decimal


def store_rates(client: Client, rates: Rates) -> None:
    """Replace the rates in the table by the rates in force."""
    rows = [
        (code, day_of(day), rate, rates.base or "") for code, steps in rates.all_steps.items() for day, rate in steps
    ]
    found = client.query(query("exchange_rates")).result_rows
    if sorted(map(tuple, found)) == sorted(rows):
        return
    client.command(f"TRUNCATE TABLE {TABLE}")
    if rows:  # as text: the driver's own insert imports pandas, 40 MB for as long as the stack runs
        names = ("currency", "valid_from", "rate", "base")
        lines = (json.dumps(dict(zip(names, row, strict=True)), default=str) for row in rows)
        client.raw_insert(TABLE, names, "\n".join(lines), fmt="JSONEachRow")


def convert_amounts(client: Client) -> None:
    """Replace waiting transactions that have a rate in the table by rows with the converted amount."""
    if client.query(query("any_amount_waits")).result_rows:
        client.command(query("convert_amounts"), parameters={"most": MAX_AMOUNT * SCALE})


def waiting_amounts(client: Client) -> list[Waiting]:
    """Count the waiting amounts by currency, the most frequent first."""
    if not client.query(query("any_amount_waits")).result_rows:
        return []
    rows = client.query(query("waiting_amounts")).result_rows
    return [Waiting(str(code), int(count), total) for code, count, total in rows]
