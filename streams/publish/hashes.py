"""Chooses the Redis hashes that each kind of block writes. They are rendered later, in the writer's thread."""

from collections.abc import Sequence

from contracts.blocks import Departures, Pointers
from contracts.model_blocks import ScoredBlock
from contracts.outputs import HashBlock
from streams.publish.profile_hashes import departed_hashes, profile_hashes
from streams.publish.prolonged_hashes import PREFIXES, ProlongedHashes
from streams.publish.score_hashes import score_hashes, shown


def hash_blocks(
    item: ScoredBlock | Departures | Pointers, outcomes: Sequence[str], currency: str | None, expires_seconds: int
) -> list[HashBlock]:
    """Return the hashes that a block writes.

    Blocks with profile rows (live and restated people, and customers who leave during a catch-up) write scores and
    profiles, a published sweep writes scores only. Visitors' hashes expire after ``expires_seconds``. ``currency`` is
    the base currency (None: undecided).
    """
    if isinstance(item, Pointers):
        return [ProlongedHashes(prefix, item.ids, item.versions, expires_seconds) for prefix in PREFIXES]
    if isinstance(item, Departures):
        return list(departed_hashes(item, outcomes, expires_seconds)) if len(item.ids) else []
    blocks: list[HashBlock] = [score_hashes(item, expires_seconds)]
    if item.people.rows is not None:
        blocks.append(profile_hashes(item.people, currency, expires_seconds))
    rows = shown(item)
    if rows is not None:
        blocks = [block.take(rows) for block in blocks]
    return blocks if len(blocks[0].ids) else []
