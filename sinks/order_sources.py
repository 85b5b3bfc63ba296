"""Makes the view ``order_sources``: which sources report the same orders, and which of them leads."""

from collections.abc import Sequence
from itertools import count
from typing import Final

from clickhouse_connect.driver.binding import format_str
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.errors import StoreRefusedError
from sinks.queries import query

VIEW: Final = "order_sources"


def declare_order_sources(client: Client, groups: Sequence[Sequence[str]]) -> None:
    """Make the view with a row per source. A group is a shop: its sources, the leading one first.

    Raises :class:`StoreRefusedError` if ClickHouse does not take the view.
    """
    rows = [
        f"({format_str(source)}, {shop}, {place})"
        for shop, group in enumerate(groups, 1)
        for place, source in zip(count(1), group, strict=False)
    ]
    try:
        client.command(query(VIEW).replace("/* rows */", ", ".join(rows)))
    except ClickHouseError as error:
        raise StoreRefusedError(f"ClickHouse refused the view {VIEW}: {str(error).splitlines()[0][:300]}") from error
