"""Which rows of which tables are about a person. Every table is in one of the two lists here.

Conditions take the parameters of :func:`parameters`. They are on rows that FINAL leaves.
"""

from collections.abc import Mapping
from typing import Final

import orjson

from contracts.stored import FACT_TABLES
from crmstream.people.lookup import Person

_FACTS: Final = (
    "customer_id IN {customers:Array(String)} OR (customer_id = '' AND anonymous_id IN {visitors:Array(String)})"
)
PERSONAL: Final[Mapping[str, str]] = {
    "customers": "customer_id IN {ids:Array(String)}",
    "identity_links": "identity IN {ids:Array(String)} OR person IN {ids:Array(String)}",
    "trait_facts": "person IN {ids:Array(String)}",
    "account_members": "person IN {ids:Array(String)}",
    "trait_changes": "person IN {ids:Array(String)}",
    "known_ids": "person IN {ids:Array(String)} OR identity IN {ids:Array(String)}",
    **dict.fromkeys(FACT_TABLES.values(), _FACTS),
    "order_facts": "identity(newest).person IN {ids:Array(String)}",
    "customer_daily": "customer_id IN {ids:Array(String)}",
    "score_changes": "customer_id IN {ids:Array(String)}",
    "log_events": _FACTS,
    "dead_letters": "key IN {names:Array(String)} OR multiSearchAny(body, {texts:Array(String)})",
}
"""The condition of each table that holds rows about people. Of records that were rejected, those that name an id."""
NOT_PERSONAL: Final = frozenset({"model_quality", "account_facts", "log_clocks", "exchange_rates"})
"""Tables that hold nothing about people."""


def parameters(person: Person, *asked: str) -> dict[str, list[str]]:
    """Return the parameters of the conditions. ``asked`` is how the person was asked for, such as an e-mail address."""
    names = list(dict.fromkeys([*person.customers, *person.visitors, *asked]))
    return {
        "ids": list(person.ids), "customers": person.customers, "visitors": person.visitors, "names": names,
        "texts": [orjson.dumps(name).decode() for name in names],
    }  # fmt: skip


def selected(table: str) -> str:
    """Return the query for the rows of a table that are about a person."""
    return f"SELECT * FROM {table} FINAL WHERE {PERSONAL[table]} ORDER BY ALL"  # noqa: S608 - names of this page
