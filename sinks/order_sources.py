"""Makes the view ``order_sources``: which sources report the same orders, and which of them leads."""

from collections.abc import Sequence
from typing import Final

from clickhouse_connect.driver.binding import format_str
from clickhouse_connect.driver.client import Client

from sinks.queries import query
from sinks.views import make_view

VIEW: Final = "order_sources"


def declare_order_sources(client: Client, groups: Sequence[Sequence[str]]) -> None:
    """Make the view with a row per source. A group is a shop: its sources, the leading one first.

    Raises :class:`StoreRefusedError` if ClickHouse does not take the view.
    """
    rows = [
        f"({format_str(source)}, {shop}, {place})"
        for shop, group in enumerate(groups, 1)
        for place, source in enumerate(group, 1)
    ]
    make_view(client, VIEW, query(VIEW).replace("/* rows */", ", ".join(rows)))
