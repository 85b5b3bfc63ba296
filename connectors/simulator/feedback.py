"""Opinions and sales: reviews of what was bought, recommendations, complaints, and a few deals of business customers.

Follows the day's events and draws from generators of its own, one per day: the rest of the shop is the same with and
without it. Moves no data.
"""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

import numpy as np

from connectors.simulator.config import DAY_US
from connectors.simulator.drafts import Draft
from contracts.events import CES_SUBMITTED, CSAT_SUBMITTED, NPS_SUBMITTED, ORDER_COMPLETED

_DRAWS: Final = 8
_HOUR_US: Final = DAY_US // 24
_STREAM: Final = 5_179
"""Tells these generators from others with the shop's seed."""
_REVIEWS, _RECOMMENDATIONS, _COMPLAINTS, _DEALS = 0.12, 0.08, 0.6, 0.015
"""The shares of orders with a review, with a recommendation, of bad ratings with a complaint, of orders with a deal."""
_WORDS: Final = {
    1: "Broke after a day", 2: "Not what the picture shows", 3: "It does what it should", 4: "Good value",
    5: "Would buy it again",
}  # fmt: skip
_SELLERS: Final = ("s-01", "s-02", "s-03")
_STAGES: Final = ("qualified", "offer", "negotiation")


class FeedbackWriter:
    """Writes what follows from the events of a day. Numbers its deals."""

    def __init__(self, seed: int, currency: str):
        self._seed, self._currency = seed, currency
        self._deals = 0

    def write(self, midnight: int, drafts: Iterable[Draft]) -> Iterator[Draft]:
        """Yield drafts that follow from those of the day that begins at ``midnight`` (microseconds)."""
        causes = [draft for draft in drafts if draft.name in (ORDER_COMPLETED, CSAT_SUBMITTED)]
        rows = np.random.default_rng([self._seed, _STREAM, midnight // DAY_US]).random((len(causes), _DRAWS)).tolist()
        for cause, draws in zip(causes, rows, strict=True):
            if cause.name == CSAT_SUBMITTED:
                yield from self._after_rating(cause, draws)
            else:
                yield from self._after_order(cause, draws)

    def _after_rating(self, cause: Draft, draws: list[float]) -> Iterator[Draft]:
        score, ticket = cause.properties["score"], {"ticket_id": cause.properties["ticket_id"]}
        if score <= 2 and draws[0] < _COMPLAINTS:
            said = {**ticket, "text": "Nobody has solved it" if draws[1] < 0.5 else "It took far too long"}
            yield _by(cause, cause.occurred_at + int(2 * draws[2] * _HOUR_US), "Complaint Received", said)
        elif draws[0] < 0.3:
            effort = {**ticket, "rating": max(1, min(7, round(score * 1.4 + 2 * draws[1] - 1)))}
            yield _by(cause, cause.occurred_at + int(draws[2] * _HOUR_US), CES_SUBMITTED, effort)

    def _after_order(self, cause: Draft, draws: list[float]) -> Iterator[Draft]:
        if draws[0] < _REVIEWS:
            line = cause.properties["products"][0]
            rating = _rating(line["product_id"], draws[1])
            said = {"product_id": line["product_id"], "rating": rating, "review_body": _WORDS[rating]}
            at = cause.occurred_at + int((3 + 12 * draws[2]) * DAY_US)
            yield Draft(at, "web", "Product Reviewed", cause.customer_id, None, said)
        if draws[3] < _RECOMMENDATIONS:
            said = {"rating": int(11 * draws[4] ** 0.45), "order_id": cause.properties["order_id"]}
            yield _by(cause, cause.occurred_at + int((5 + 9 * draws[5]) * DAY_US), NPS_SUBMITTED, said)
        if draws[6] < _DEALS:
            yield from self._deal(cause, draws)

    def _deal(self, cause: Draft, draws: list[float]) -> Iterator[Draft]:
        """A customer who orders for a business: from the first talk to the end of the deal."""
        self._deals += 1
        deal: dict[str, Any] = {
            "deal_id": f"d-{self._deals}", "name": "Supply for a year", "owner": _SELLERS[self._deals % len(_SELLERS)],
            "amount": round(20 * cause.properties["total"], 2), "currency": self._currency,
        }  # fmt: skip
        at = cause.occurred_at + _HOUR_US
        yield _by(cause, at, "Lead Created", {"owner": deal["owner"]})
        yield _by(cause, at + DAY_US, "Deal Created", {**deal, "stage": _STAGES[0]})
        few, steps = {"deal_id": deal["deal_id"], "owner": deal["owner"]}, int(draws[7] * 4)
        for number, stage in enumerate(_STAGES[1 : 1 + steps], 1):
            at += int((3 + 9 * draws[number]) * DAY_US)
            yield _by(cause, at, "Call Logged", few)
            yield _by(cause, at + 2 * _HOUR_US, "Quote Sent" if stage == "offer" else "Meeting Held", few)
            yield _by(cause, at + 3 * _HOUR_US, "Deal Stage Changed", {**few, "stage": stage})
        at += int((4 + 20 * draws[3]) * DAY_US)
        if steps == 3 and draws[5] < 0.6:
            yield _by(cause, at, "Deal Won", few)
        elif draws[5] < 0.8:
            yield _by(cause, at, "Deal Lost", {**few, "reason": "price" if draws[1] < 0.5 else "no answer"})


def _by(cause: Draft, at: int, name: str, properties: dict[str, Any]) -> Draft:
    return Draft(at, "service", name, cause.customer_id, None, properties)


def _rating(product_id: str, draw: float) -> int:
    """Return 1 to 5: each product has a quality of its own."""
    quality = blake2b(product_id.encode(), digest_size=1).digest()[0] / 255
    return max(1, min(5, round(1.5 + 2.5 * quality + 2.5 * draw - 0.75)))
