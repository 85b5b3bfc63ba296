"""Paths into a webhook's body: JMESPath expressions, checked when the mapping is read.

A mapping is trusted, a body is not: whatever a body holds, a path gives a value or raises :class:`BadValueError`.
Pure; moves no data.
"""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.functions import Functions
from pydantic import AfterValidator, Field

from connectors.rows.values import BadValueError

MOST_CHARACTERS: Final = 1_000
Find = Callable[[object], object]
"""Looks a path up in a document; None where there is nothing."""

_ODD_DATA: Final = (JMESPathError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError)
"""What JMESPath's functions raise when a body holds other types than they take."""


def compile_path(text: str) -> Find:
    """Make a look-up of a path."""
    expression = jmespath.compile(text)

    def find(document: object) -> object:
        try:
            return expression.search(document)
        except _ODD_DATA:
            raise BadValueError("cannot be computed from what the body holds") from None

    return find


def _checked(text: str) -> str:
    try:
        tree = jmespath.compile(text).parsed
    except JMESPathError:
        raise ValueError("is no JMESPath expression (jmespath.org); a plain path is like order.total") from None
    for node, parent in _nodes(tree, None):
        _check_node(node, parent)
    return text


def _nodes(node: Any, parent: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(node, dict):
        yield node, parent
        for child in node["children"]:
            yield from _nodes(child, node)


def _check_node(node: Any, parent: Any) -> None:
    """Refuse what JMESPath itself finds only when it runs."""
    if node["type"] == "expref" and (parent is None or parent["type"] != "function_expression"):
        raise ValueError("has an & outside of a function's arguments")
    if node["type"] != "function_expression":
        return
    known = Functions.FUNCTION_TABLE.get(node["value"])
    if known is None:
        raise ValueError(f"names {node['value']}(), which is no function of JMESPath")
    takes = known["signature"]
    variadic = bool(takes) and takes[-1].get("variadic", False)
    if len(node["children"]) < len(takes) or (len(node["children"]) > len(takes) and not variadic):
        raise ValueError(f"gives {node['value']}() another number of arguments than it takes")


PathText = Annotated[str, Field(min_length=1, max_length=MOST_CHARACTERS), AfterValidator(_checked)]
"""A path as it stands in a mapping."""
