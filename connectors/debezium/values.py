"""Read values as Debezium and Kafka Connect write them in JSON, with the help of their schemas. Pure.

Dates and times without a zone become texts without one, as the database would write them, so the mapping's
``time_zone`` says what they mean. Values without a special schema stay as they are. Placeholders and times that no
event can hold become a :class:`NoValue`.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.databases.changes import UNSENT
from connectors.databases.times import EARLIEST_YEAR, checked_time, out_of_range
from connectors.rows.values import NoValue

Schema = Mapping[str, Any]
UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What Debezium writes, unless told otherwise, for a value that the database did not send."""
_OF_BYTES: Final = list(UNAVAILABLE.encode())
PLACEHOLDERS: Final = (
    UNAVAILABLE,
    base64.b64encode(UNAVAILABLE.encode()).decode(),  # bytea, as binary.handling.mode=bytes and base64 write it
    UNAVAILABLE.encode().hex(),
    f'{{"{UNAVAILABLE}":"{UNAVAILABLE}"}}',  # hstore as JSON
    {UNAVAILABLE: UNAVAILABLE},  # hstore as a map
    [UNAVAILABLE],
    _OF_BYTES,  # arrays of numbers
)
"""The same for each type of column."""
INFINITE: Final = {9_223_372_036_825_200_000: "infinity", -9_223_372_036_832_400_000: "-infinity"}
"""The numbers that stand for PostgreSQL's infinite times, whatever their unit."""
_FAR_FUTURE: Final = "+294247-01-10"
_FAR_PAST: Final = "-290308-12-21"
"""Days on which Debezium writes PostgreSQL's infinite times with a zone."""
NO_DECIMAL: Final = NoValue(
    "is no number: a decimal cannot be read without its schema; set decimal.handling.mode=string in Debezium"
)
UNREADABLE: Final = NoValue("does not fit its schema")
_VARIABLE_SCALE: Final = "io.debezium.data.VariableScaleDecimal"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def plain(value: Any, schema: Schema | None) -> object:
    """Make a plain value (text, number, boolean, None) of one that Debezium wrote."""
    if value in PLACEHOLDERS:
        return UNSENT
    if type(value) is int and value in INFINITE:
        return out_of_range(INFINITE[value])
    reader = _READERS.get(str((schema or {}).get("name")))
    if value is None or reader is None or schema is None:
        return value
    try:
        return reader(value, schema)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        return UNREADABLE


def number_without_schema(value: object) -> object:
    """Let a number through, as JSON or as text; anything else may be a decimal that nobody can read."""
    if isinstance(value, dict) and value.keys() == {"scale", "value"}:  # it brings its scale along
        return plain(value, {"name": _VARIABLE_SCALE})
    if not isinstance(value, str) or not value.strip():
        return value
    try:
        float(value)
    except ValueError:
        return NO_DECIMAL
    return value


def decimal(encoded: str, scale: int) -> str:
    """Read an unscaled two's complement number, base64 of big-endian bytes, as decimal text."""
    unscaled = int.from_bytes(base64.b64decode(encoded, validate=True), "big", signed=True)
    digits = tuple(map(int, str(abs(unscaled))))
    return format(Decimal((int(unscaled < 0), digits, -scale)), "f")  # made of its digits, a number is not rounded


def _moment(count: int, microseconds: int) -> datetime | NoValue:
    """Give the time ``count`` units, which last so many ``microseconds`` together, after 1970."""
    try:
        moment = (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None)
    except OverflowError:
        return out_of_range(str(count))
    return moment if moment.year >= EARLIEST_YEAR else out_of_range(str(count))


def _timestamp(units_per_second: int) -> Callable[[Any, Schema], object]:
    def read(value: Any, _schema: Schema) -> object:
        moment = _moment(int(value), int(value) * 1_000_000 // units_per_second)
        return moment if isinstance(moment, NoValue) else moment.isoformat(" ")

    return read


def _time_of_day(units_per_second: int) -> Callable[[Any, Schema], object]:
    """Read a time of day, or a span of time as MySQL has it: below zero, or beyond a day."""

    def read(value: Any, _schema: Schema) -> object:
        seconds, fraction = divmod(abs(int(value)) * 1_000_000 // units_per_second, 1_000_000)
        text = f"{seconds // 3_600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return ("-" if int(value) < 0 else "") + text + (f".{fraction:06}" if fraction else "")

    return read


def _date(value: Any, _schema: Schema) -> object:
    moment = _moment(int(value), int(value) * 86_400_000_000)
    return moment if isinstance(moment, NoValue) else moment.date().isoformat()


def _zoned(value: Any, _schema: Schema) -> object:
    if value.startswith((_FAR_FUTURE, _FAR_PAST)):
        return out_of_range("infinity" if value.startswith(_FAR_FUTURE) else "-infinity")
    return checked_time(value)


def _decimal(value: Any, schema: Schema) -> object:
    if isinstance(value, int | float):  # decimal.format=NUMERIC of Connect's JSON converter
        return value
    return decimal(value, int(schema["parameters"]["scale"]))


def _variable_decimal(value: Any, _schema: Schema) -> object:
    return decimal(value["value"], int(value["scale"]))


_READERS: Final[dict[str, Callable[[Any, Schema], object]]] = {
    "io.debezium.time.Date": _date,
    "io.debezium.time.Timestamp": _timestamp(1_000),
    "io.debezium.time.MicroTimestamp": _timestamp(1_000_000),
    "io.debezium.time.NanoTimestamp": _timestamp(1_000_000_000),
    "io.debezium.time.Time": _time_of_day(1_000),
    "io.debezium.time.MicroTime": _time_of_day(1_000_000),
    "io.debezium.time.NanoTime": _time_of_day(1_000_000_000),
    "io.debezium.time.ZonedTimestamp": _zoned,
    "io.debezium.time.IsoTimestamp": _zoned,
    "io.debezium.time.IsoDate": _zoned,
    _VARIABLE_SCALE: _variable_decimal,
    "org.apache.kafka.connect.data.Date": _date,
    "org.apache.kafka.connect.data.Timestamp": _timestamp(1_000),
    "org.apache.kafka.connect.data.Time": _time_of_day(1_000),
    "org.apache.kafka.connect.data.Decimal": _decimal,
}
