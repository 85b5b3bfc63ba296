"""Who goes first where cores are scarce: answers to clients and scores, then rows in ClickHouse."""

from typing import Final

CLICKHOUSE: Final = 10
"""Its share of a core that others want too is a tenth of theirs. At the end of each epoch ClickHouse would otherwise
take all cores for its inserts and merges, while events wait for their scores."""
