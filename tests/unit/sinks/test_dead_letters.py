"""Dead letters as table rows and as Kafka records."""

from dataclasses import replace
from datetime import UTC, datetime

import pyarrow as pa

from contracts.outputs import DeadLetter
from sinks.dead_letters import LONGEST_FIELD, dead_letters_table
from sinks.kafka import LARGEST_RECORD, dead_letter_record

LETTER = DeadLetter(
    "crm-web-events", 3, 41, 1_700_000_000_123, b"\xffk", b"\x00\xfe{", "decode", "body", "is not valid JSON"
)


def test_a_row_keeps_place_bytes_and_reason() -> None:
    assert dead_letters_table([LETTER]).to_pylist() == [
        {
            "topic": "crm-web-events",
            "log_partition": 3,
            "log_offset": 41,
            "entered_at": datetime(2023, 11, 14, 22, 13, 20, 123_000, UTC),
            "stage": "decode",
            "field": "body",
            "reason": "body: is not valid JSON",
            "error": "RejectedError",
            "source": "",
            "key": b"\xffk",
            "body": b"\x00\xfe{",
        }
    ]


def test_odd_records_still_become_rows() -> None:
    odd = replace(LETTER, key=None, body=None, timestamp_ms=-1, field="\ud800" + "x" * 500, problem="\ud800")
    late = replace(LETTER, timestamp_ms=2**62)
    first, second = dead_letters_table([odd, late]).to_pylist()
    assert (first["key"], first["body"], first["entered_at"].year) == (b"", b"", 1970)
    assert first["field"] == "?" + "x" * (LONGEST_FIELD - 1)
    assert second["entered_at"].year == 2200


def test_no_letters_are_no_rows_of_the_same_shape() -> None:
    assert dead_letters_table([]).schema == dead_letters_table([LETTER]).schema
    assert isinstance(dead_letters_table([]), pa.Table)


def test_a_record_keeps_key_and_bytes_and_says_why() -> None:
    record = dead_letter_record(LETTER)
    assert (record.key, record.value) == (b"\xffk", b"\x00\xfe{")
    assert dict(record.headers) == {
        "__connect.errors.topic": b"crm-web-events",
        "__connect.errors.partition": b"3",
        "__connect.errors.offset": b"41",
        "__connect.errors.stage": b"decode",
        "__connect.errors.exception.class.name": b"RejectedError",
        "__connect.errors.exception.message": b"body: is not valid JSON",
    }


def test_a_record_too_large_for_a_topic_goes_without_its_bytes() -> None:
    record = dead_letter_record(replace(LETTER, key=None, body=b"x" * (LARGEST_RECORD + 1)))
    assert (record.key, record.value) == (None, None)
    assert dict(record.headers)["__connect.errors.dropped.bytes"] == b"1000001"
    assert dead_letter_record(replace(LETTER, key=None, body=b"x" * LARGEST_RECORD)).value is not None
