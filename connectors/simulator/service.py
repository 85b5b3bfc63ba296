"""Tickets and satisfaction: customers who are about to leave complain more and are harder to please."""

from collections.abc import Iterator
from typing import Final

from connectors.simulator.drafts import Draft
from contracts.events import CSAT_SUBMITTED

DRAWS: Final = 8
"""Uniform numbers that one ticket uses."""
_HOUR_US: Final = 3_600_000_000
_SUBJECTS: Final = ("delivery", "return", "quality", "invoice", "account")
_TEAMS: Final = {
    "delivery": "logistics", "return": "logistics", "quality": "shop", "invoice": "office", "account": "office",
}  # fmt: skip
_AGENTS: Final = ("agent-1", "agent-2", "agent-3", "agent-4")
_CONTENT: Final = (0.04, 0.06, 0.12, 0.30, 0.48)
"""How often a content customer gives 1, 2, 3, 4, 5."""
_FADED: Final = (0.36, 0.26, 0.20, 0.12, 0.06)
"""How often one gives them who has all but left."""


class TicketWriter:
    """Writes the drafts of one ticket after the other. Numbers its tickets."""

    def __init__(self) -> None:
        self._tickets = 0

    def write(self, customer_id: str, opened_at: int, fade: float, draws: list[float]) -> Iterator[Draft]:
        """All drafts of a ticket opened at ``opened_at`` (microseconds); ``draws`` has DRAWS numbers."""
        self._tickets += 1
        ticket = {"ticket_id": f"t-{self._tickets}"}
        subject = _SUBJECTS[int(draws[0] * len(_SUBJECTS))]
        agent = {"agent": _AGENTS[self._tickets % len(_AGENTS)], "team": _TEAMS[subject]}
        opened = {**ticket, **agent, "subject": subject}
        yield Draft(opened_at, "service", "Ticket Opened", customer_id, None, opened)
        at = opened_at
        for number in range(int(draws[1] * 3)):
            at += int((0.5 + 20 * draws[2 + number]) * _HOUR_US)
            yield Draft(at, "service", "Ticket Updated", customer_id, None, ticket)
        at += int((1 + (30 + 60 * fade) * draws[4] ** 2) * _HOUR_US)
        yield Draft(at, "service", "Ticket Solved", customer_id, None, ticket)
        if draws[5] < 0.6:
            at += int((0.1 + 24 * draws[6]) * _HOUR_US)
            answer = {**ticket, "score": _score(fade, draws[7])}
            yield Draft(at, "service", CSAT_SUBMITTED, customer_id, None, answer)


def _score(fade: float, draw: float) -> float:
    """Return the satisfaction, 1 to 5, for a number from [0, 1)."""
    reached = 0.0
    for score, (content, faded) in enumerate(zip(_CONTENT, _FADED, strict=True), 1):
        reached += content + fade * (faded - content)
        if draw < reached:
            return float(score)
    return 5.0
