"""Read values as Debezium and Kafka Connect write them in JSON, with the help of their schemas. Pure.

Dates and times without a zone become texts without one, as the database would write them, so the mapping's
``time_zone`` says what they mean. What has no special schema stays as it is.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from connectors.databases.changes import UNSENT, NoValue

Schema = Mapping[str, Any]
UNAVAILABLE: Final = "__debezium_unavailable_value"
"""What Debezium writes, unless told otherwise, for a value that the database did not send."""
NO_DECIMAL: Final = NoValue(
    "is no number: a decimal cannot be read without its schema; set decimal.handling.mode=string in Debezium"
)
UNREADABLE: Final = NoValue("does not fit its schema")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def plain(value: Any, schema: Schema | None) -> object:
    """Make a plain value (text, number, boolean, None) of one that Debezium wrote."""
    if value == UNAVAILABLE:
        return UNSENT
    reader = _READERS.get(str((schema or {}).get("name")))
    if value is None or reader is None or schema is None:
        return value
    try:
        return reader(value, schema)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        return UNREADABLE


def number_without_schema(value: object) -> object:
    """Let a number through, as JSON or as text; anything else may be a decimal that nobody can read."""
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


def _moment(microseconds: int) -> str:
    return (_EPOCH + timedelta(microseconds=microseconds)).replace(tzinfo=None).isoformat(" ")


def _timestamp(units_per_second: int) -> Callable[[Any, Schema], object]:
    return lambda value, _schema: _moment(int(value) * 1_000_000 // units_per_second)


def _time_of_day(units_per_second: int) -> Callable[[Any, Schema], object]:
    return lambda value, _schema: _moment(int(value) * 1_000_000 // units_per_second).split(" ")[1]


def _date(value: Any, _schema: Schema) -> object:
    return _moment(int(value) * 86_400_000_000).split(" ")[0]


def _decimal(value: Any, schema: Schema) -> object:
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
    "io.debezium.data.VariableScaleDecimal": _variable_decimal,
    "org.apache.kafka.connect.data.Date": _date,
    "org.apache.kafka.connect.data.Timestamp": _timestamp(1_000),
    "org.apache.kafka.connect.data.Time": _time_of_day(1_000),
    "org.apache.kafka.connect.data.Decimal": _decimal,
}
