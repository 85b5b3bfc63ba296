"""Writes accounts to Redis: a hash ``crm:account:{id}`` per row of the view ``accounts``.

``crm:accounts`` has a digest of each hash, so that only those are written that changed.
"""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import orjson
from redis import Redis

from contracts.stored import ACCOUNTS_KEY, account_key
from crmstream.stores import Stores
from sinks.queries import query

PAGE: Final = 500
"""Accounts that are written at once."""


def publish_accounts(stores: Stores) -> int:
    """Write the accounts that changed, remove those that are no more, and return how many these are.

    Raises an error of the client if a store does not answer.
    """
    before: dict[str, str] = dict(stores.redis.hscan_iter(ACCOUNTS_KEY, count=PAGE))
    gone, changed = set(before), 0
    page: dict[str, dict[str, str]] = {}
    with stores.clickhouse.query_row_block_stream(query("accounts")) as blocks:
        names = blocks.source.column_names
        for row in (row for block in blocks for row in block):
            fields = _fields(dict(zip(names, row, strict=True)))
            account = fields.pop("account_id")
            gone.discard(account)
            if before.get(account) != _digest(fields):
                page[account] = fields
            if len(page) >= PAGE:
                changed += _write(stores.redis, page)
                page = {}
    return changed + _write(stores.redis, page) + _remove(stores.redis, sorted(gone))


def _write(redis: Redis, accounts: Mapping[str, dict[str, str]]) -> int:
    pipeline = redis.pipeline(transaction=True)
    for account, fields in accounts.items():
        key = account_key(account)
        pipeline.delete(key)
        pipeline.hset(key, items=[*chain.from_iterable(fields.items())])
        pipeline.hset(ACCOUNTS_KEY, account, _digest(fields))
    pipeline.execute()
    return len(accounts)


def _remove(redis: Redis, accounts: list[str]) -> int:
    pipeline = redis.pipeline(transaction=True)
    for account in accounts:
        pipeline.delete(account_key(account))
        pipeline.hdel(ACCOUNTS_KEY, account)
    pipeline.execute()
    return len(accounts)


def _digest(fields: Mapping[str, str]) -> str:
    return blake2b(orjson.dumps(fields, option=orjson.OPT_SORT_KEYS), digest_size=8).hexdigest()


def _fields(row: Mapping[str, Any]) -> dict[str, str]:
    """Return a row as the fields of a hash. The traits are one JSON object, the highest scores a field per outcome."""
    traits = {name: orjson.Fragment(json) for name, json in row["traits"].items()}
    plain = {name: value for name, value in row.items() if name not in {"traits", "highest"} and value is not None}
    return (
        {name: _text(value) for name, value in plain.items()}
        | {f"highest_{outcome}": _text(round(chance, 6)) for outcome, chance in row["highest"].items()}
        | {"traits": orjson.dumps(traits).decode()}
    )


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%dT%H:%M:%SZ}"
    return f"{value:.2f}" if isinstance(value, Decimal) else str(value)
