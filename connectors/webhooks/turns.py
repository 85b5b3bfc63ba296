"""Work that stops now and then, so that others have their turn: done at one go, or in turns. Moves no data."""

import asyncio
from collections.abc import Generator, Iterator
from typing import Generic, TypeVar

Result = TypeVar("Result")
Turns = Generator[None, None, Result]
"""Work that stops so that others have their turn, and returns what came of it."""


class _Work(Generic[Result]):
    """Work, and its result when it is done."""

    result: Result

    def __init__(self, turns: Turns[Result]):
        self._turns = turns

    def __iter__(self) -> Iterator[None]:
        self.result = yield from self._turns


def at_one_go(turns: Turns[Result]) -> Result:
    """Do the work and give its result."""
    work = _Work(turns)
    for _ in work:
        pass
    return work.result


async def in_turns(turns: Turns[Result]) -> Result:
    """Do the same, and let others have their turn whenever the work stops."""
    work = _Work(turns)
    for _ in work:
        await asyncio.sleep(0)
    return work.result
