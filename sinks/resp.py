"""Renders few hashes as Redis commands, and the arguments of the script that guards hashes by version."""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import hiredis

from contracts.outputs import Commands, HashWrites
from contracts.stored import VERSION_FIELD, top_key

CHUNK_CUSTOMERS: Final = 250
"""Customers per script call: a call blocks the server for a few milliseconds at most."""
ABSENT: Final = "\0"
"""Marks a field to be removed, in a script's arguments."""
REMOVED: Final = -1
"""Marks a hash to be removed, in place of its seconds to live."""


def commands_of(writes: HashWrites) -> Commands:
    """Return the commands that write hashes and their ranks."""
    commands = list(chain(_hash_commands(writes), _rank_commands(writes)))
    return Commands([b"".join(map(hiredis.pack_command, commands))], len(commands))


def _hash_commands(writes: HashWrites) -> Iterator[tuple[Any, ...]]:
    names = list(writes.columns)
    rows = zip(*writes.columns.values(), strict=True) if names else iter([()] * len(writes.ids))
    each = zip(writes.ids, writes.versions.tolist(), rows, writes.clear, writes.expires, strict=True)
    for customer, version, values, clear, expires in each:
        key = f"{writes.prefix}:{{{customer}}}"
        if writes.prolongs:
            yield ("EXPIRE", key, expires)
            continue
        if expires == REMOVED:
            yield ("DEL", key)
            continue
        there = [word for pair in zip(names, values, strict=True) if pair[1] is not None for word in pair]
        yield ("HSET", key, VERSION_FIELD, version, *there)
        if clear and (absent := [name for name, value in zip(names, values, strict=True) if value is None]):
            yield ("HDEL", key, *absent)
        if expires:
            yield ("EXPIRE", key, expires)


def _rank_commands(writes: HashWrites) -> Iterator[tuple[Any, ...]]:
    for outcome, scores in writes.ranks.items():
        added: list[Any] = []
        removed = []
        for customer, score, expires in zip(writes.ids, scores.tolist(), writes.expires, strict=True):
            if score == score:  # noqa: PLR0124 - all but NaN
                added += (score, customer)
            elif not expires:  # visitors never had a rank
                removed.append(customer)
        if added:
            yield ("ZADD", top_key(outcome), *added)
        if removed:
            yield ("ZREM", top_key(outcome), *removed)


def script_arguments(writes: HashWrites) -> Iterator[list[Any]]:
    """Lay out the arguments of EVALSHA for each chunk of a block, as ``apply_hashes.lua`` wants them."""
    before, after = writes.prefix + ":{", "}"
    keys = [before + customer + after for customer in writes.ids]
    columns = [_with_absent(values) for values in writes.columns.values()]
    ranks = [scores.tolist() for scores in writes.ranks.values()]
    columns = [writes.versions.tolist(), list(writes.expires), *columns, *ranks]
    tops = [top_key(outcome) for outcome in writes.ranks]
    shape = [len(writes.columns), len(tops), len(before) + 1, VERSION_FIELD, *writes.columns]
    for start in range(0, len(keys), CHUNK_CUSTOMERS):
        chunk = slice(start, start + CHUNK_CUSTOMERS)
        chunk_keys = keys[chunk]
        values = chain.from_iterable(column[chunk] for column in columns)
        yield [len(chunk_keys) + len(tops), *chunk_keys, *tops, *shape, *values]


def _with_absent(values: Any) -> list[Any]:
    return [ABSENT if value is None else value for value in values]
