"""The part of the step table that ends in the stores: blocks become hashes and rows, and are written.

Blocks are gathered as the writers gather them: hashes of one activation, rows until some thousands wait.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from contracts.blocks import Departures, LaneBatch, ProfileBlock, Verdicts
from contracts.model_blocks import ModelReport, ScoredBlock
from contracts.outputs import HashBlock, TableBlock, TableRows
from contracts.settings import Settings
from sinks.clients import clickhouse_client, redis_client
from sinks.dead_letters import dead_letters_table
from sinks.redis_pipe import Pipe
from streams.publish.hashes import hash_blocks
from streams.publish.tables import table_blocks

DAY_SECONDS: Final = 86_400
HOUR: Final = 3_600_000_000
DUE_ROWS: Final = 10_000
Run = Callable[[str, str, int, Callable[[], Any]], Any]


class Publishing:
    """Renders and writes what the machines give out; ``run`` measures."""

    def __init__(self, settings: Settings, run: Run):
        assert settings.redis_url is not None
        assert settings.clickhouse_url is not None
        self._run, self._currency, self._interval = run, settings.base_currency, settings.sweep_hours * HOUR
        self._outcomes = [one.name for one in settings.outcomes]
        self._expires = settings.visitor_days * DAY_SECONDS
        self._pipe = Pipe(redis_client(settings.redis_url))
        self._clickhouse = clickhouse_client(settings.clickhouse_url, settings.clickhouse_database)
        self._rows: list[TableBlock] = []

    def take(
        self, lanes: Sequence[LaneBatch], made: Sequence[Any], learned: Sequence[Any], scored: Sequence[Any]
    ) -> None:
        """Publish one activation."""
        self._hashes([one for one in (*made, *scored) if isinstance(one, Departures | ScoredBlock)])
        stored = (ScoredBlock, ProfileBlock, Departures, Verdicts, ModelReport)
        rows = [one for one in (*made, *learned, *scored) if isinstance(one, stored)]
        facts = [each for lane in lanes for each in lane.facts]
        dead = [TableRows("dead_letters", dead_letters_table(lane.dead)) for lane in lanes if lane.dead]
        self._rows += [block for one in (*facts, *dead, *rows) for block in self._blocks(one) if len(block)]
        if sum(map(len, self._rows)) >= DUE_ROWS:
            self._insert()

    def close(self) -> None:
        """Insert what waits, and leave the stores."""
        self._insert()
        self._pipe.close()
        self._clickhouse.close()

    def _blocks(self, item: Any) -> Sequence[TableBlock]:
        return table_blocks(item, self._interval, self._currency)

    def _hashes(self, items: Sequence[Any]) -> None:
        blocks = [block for one in items for block in hash_blocks(one, self._outcomes, self._currency, self._expires)]
        for group in _together([block for block in blocks if len(block.ids)]):
            count = sum(len(block.ids) for block in group)
            kind = "score" if "score" in group[0].prefix else "profile"
            commands = self._run(
                f"render {kind} hashes", "hash", count, lambda group=group: _joined(group).commands()
            )
            self._run(f"write {kind} hashes to Redis", "hash", count, lambda some=commands: self._pipe.send(some))

    def _insert(self) -> None:
        for group in _together(self._rows):
            count, table = sum(map(len, group)), group[0].table
            kind = "facts" if isinstance(group[0], TableRows) else table
            rows = self._run(f"render rows of {kind}", "row", count, lambda group=group: group[0].render(group[1:]))
            self._run(
                f"insert {kind} into ClickHouse", "row", count,
                lambda name=table, some=rows: self._clickhouse.insert_arrow(name, some, settings={"async_insert": 0}),
            )  # fmt: skip
        self._rows.clear()


def _joined(group: Sequence[HashBlock]) -> HashBlock:
    return group[0].join(group[1:])


def _together(blocks: Sequence[Any]) -> list[list[Any]]:
    """Blocks that can be written at once, each kind in its order."""
    groups: list[list[Any]] = []
    for block in blocks:
        for group in groups:
            if type(group[0]) is type(block) and group[0].fits(block):
                group.append(block)
                break
        else:
            groups.append([block])
    return groups
