"""What the links of a slot that has not ended yet make likely: for live scores, before anything is decided.

The earliest link of each source counts, so hints do not depend on the order in which lanes are read. Pure.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from contracts.crossings import NOBODY
from contracts.identity import EMAIL


class Link(NamedTuple):
    """One link, in the order in which the links of a slot are decided; ``occurred`` in microseconds."""

    occurred: int
    source: str
    target: str


@dataclass
class Hints:
    """The links of one slot: ``links`` from visitors and addresses to customers, ``mails`` from visitors to addresses.

    ``told`` is what was said of each visitor last.
    """

    links: dict[str, Link] = field(default_factory=dict)
    mails: dict[str, Link] = field(default_factory=dict)
    mailers: dict[str, set[str]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    def restart(self, links: Iterable[Link], decided: Mapping[str, str]) -> set[str]:
        """Begin another slot with what is known of it; return whose hint may have changed."""
        self.links, self.mails, self.mailers = {}, {}, {}
        before = set(self.told)
        self.told = {visitor: customer for visitor, customer in self.told.items() if visitor not in decided}
        return self.add(links) | before

    def add(self, links: Iterable[Link]) -> set[str]:
        """Take links in; return the visitors whose hint may have changed."""
        touched: set[str] = set()
        for link in links:
            if link.source == NOBODY:
                continue
            book = self.mails if link.target.startswith(EMAIL) else self.links
            if link >= book.get(link.source, link) and link.source in book:
                continue
            book[link.source] = link
            if book is self.mails:
                self.mailers.setdefault(link.target, set()).add(link.source)
            touched |= self.mailers.get(link.source, set()) if link.source.startswith(EMAIL) else {link.source}
        return touched

    def of(self, visitor: str, decided: Mapping[str, str]) -> str | None:
        """The likely customer of a visitor: by a link of its own, else by its address."""
        if visitor in self.links:
            return self.links[visitor].target
        if visitor not in self.mails:
            return None
        email = self.mails[visitor].target
        owner = self.links.get(email)
        return decided.get(email) or (owner.target if owner else None)

    def tell(self, now: Mapping[str, str | None]) -> dict[str, str | None]:
        """Note the hints of some visitors; return those that differ from what was told before."""
        changed: dict[str, str | None] = {}
        for visitor, customer in now.items():
            if self.told.get(visitor) == customer:
                continue
            changed[visitor] = customer
            if customer is None:
                del self.told[visitor]
            else:
                self.told[visitor] = customer
        return changed
