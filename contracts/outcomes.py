"""Outcomes to predict. They are settings, not code.

An outcome asks whether something happens to a customer within a number of days. ``churn`` (no purchase in 90 days) and
``opportunity`` (a purchase within 30 days) come built in; the setting ``CRM_OUTCOMES`` replaces or extends them.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Counter = Literal["orders", "refunds", "sessions", "carts", "checkouts", "tickets", "product_views"]
"""A lifetime counter of a profile that an outcome can watch."""


class Outcome(BaseModel):
    """One question: whether ``counter`` grows within ``within_days`` (``happens``), or stands still (not ``happens``).

    ``of`` selects the customers: ``buyers`` have at least one order, ``everyone`` is all.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
    counter: Counter = "orders"
    within_days: Annotated[int, Field(ge=1, le=365)]
    happens: bool
    of: Literal["buyers", "everyone"] = "everyone"


CHURN: Final = Outcome(name="churn", within_days=90, happens=False, of="buyers")
OPPORTUNITY: Final = Outcome(name="opportunity", within_days=30, happens=True)
DEFAULT_OUTCOMES: Final = (CHURN, OPPORTUNITY)
