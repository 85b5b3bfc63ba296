"""What a bucket of customers records in its sweeps, and what readers of Redis see in the end."""

from collections.abc import Sequence
from typing import Any

from contracts.blocks import PeopleBlock
from streams.profiles.customers import Output


def recorded(out: Sequence[Output]) -> list[Any]:
    """All sweeps, row by row in their order, with whoever leaves apart put back into the order of boundaries."""
    rows = []
    for each in out:
        if isinstance(each, PeopleBlock) and each.kind == "sweep":
            names = ("boundaries", "ids", "versions", "as_of", "buyers", "lifecycle", "segment", "leaving")
            features = [row.tobytes() for row in each.features]
            rows += list(zip(*(getattr(each, name).tolist() for name in names), features, strict=True))
    return sorted(rows)


def seen_by_readers(out: Sequence[Output]) -> dict[str, tuple[int, bytes]]:
    """The newest published features of each customer."""
    found: dict[str, tuple[int, bytes]] = {}
    for each in out:
        if isinstance(each, PeopleBlock) and each.publish:
            for name, version, features in zip(each.ids.tolist(), each.versions.tolist(), each.features, strict=True):
                if version >= found.get(name, (-1, b""))[0]:
                    found[name] = version, features.tobytes()
    return found
