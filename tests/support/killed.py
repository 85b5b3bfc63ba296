"""The death of a process that writes to ClickHouse, as its outbox sees it."""

import os

from contracts.errors import StoreRefusedError
from sinks.clickhouse import ClickHouseWriter


def kill(writer: ClickHouseWriter) -> None:
    """End a writer: nothing more is sent or noted, and its files are let go."""
    with writer._changed:
        writer._closed.set()
        writer._failure = StoreRefusedError("killed")
        writer._changed.notify_all()
    for thread in writer._threads:
        thread.join(20)
    assert writer._outbox is not None
    for file in writer._outbox._owned:
        os.close(file.handle)
    writer._outbox._owned.clear()
