"""Rows of one file that are the same event, by the key that the mapping names: the last in the file's order counts.

In bounded memory: the records are sorted by their ids, on disk if there are many.
"""

import struct
from collections.abc import Iterator
from typing import Final

from xxhash import xxh3_64_intdigest

from connectors.files.spool import KEYED, RUN_RECORDS, TOPIC_NUMBERS, Entry, Spooled
from connectors.protocol import Record

_HEAD: Final = struct.Struct("<qH")
_SIGNED: Final = 1 << 63


class Updates(Spooled):
    """Takes records with their lines and gives back the last of each event. Use it as a context manager."""

    def __init__(self, run_records: int = RUN_RECORDS):
        super().__init__(run_records)
        self.replaced = 0

    def add(self, line: int, event_id: str, record: Record) -> None:
        """Take the record of an event whose id is made of the row's key."""
        written = event_id.encode()
        body = _HEAD.pack(record.occurred_at or 0, len(written)) + written + (record.value or b"")
        digest = xxh3_64_intdigest(written) - _SIGNED
        self._spool.add((digest, line, TOPIC_NUMBERS[record.topic], record.key or b"", body))

    def last(self) -> Iterator[Entry]:
        """Yield the last record of each event, as an entry of the file's spool; ``replaced`` counts the others."""
        now, kept = None, dict[bytes, Entry]()
        for entry in self._spool.in_order():
            if entry[0] != now:
                yield from kept.values()
                now, kept = entry[0], {}
            event_id, unpacked = _unpacked(entry)
            self.replaced += event_id in kept
            kept[event_id] = unpacked
        yield from kept.values()


def _unpacked(entry: Entry) -> tuple[bytes, Entry]:
    _, line, topic, key, body = entry
    at, size = _HEAD.unpack_from(body)
    event_id = body[_HEAD.size : _HEAD.size + size]
    return event_id, (at, line, topic | KEYED, key, body[_HEAD.size + size :])
