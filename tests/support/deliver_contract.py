"""What every Deliver promises; the real one and the one of the tests are held to it alike."""

from collections.abc import Awaitable, Callable

import pytest

from connectors.collector.delivery import Deliver
from connectors.protocol import Record
from contracts.errors import StoreUnavailableError
from contracts.refused import REFUSED_KEY, Refusal

RECORDS = [
    Record("crm-web-events", b"c-1", b'{"customer_id": "c-1"}', 0),
    Record("crm-transactions", b"c-2", b'{"customer_id": "c-2"}', 0),
    Record("crm-web-events", REFUSED_KEY, b"3", None, Refusal("collect", "body", "is wrong", "shop").headers()),
]


async def keeps_the_contract(
    deliver: Deliver, held: Callable[[], set[bytes]], go_away: Callable[[], Awaitable[None]]
) -> None:
    """Hold a Deliver to its promises. ``held`` gives the values that are in Kafka; ``go_away`` lets Kafka vanish."""
    before = held()
    await deliver([])
    assert held() == before
    await deliver(RECORDS)
    assert held() - before == {record.value for record in RECORDS}
    await go_away()
    with pytest.raises(StoreUnavailableError):
        await deliver([Record("crm-web-events", b"c-3", b'{"customer_id": "c-3"}', 0)])
    await deliver([])
