"""Money at the door: a default for the currency that an event lacks; the first money decides the base currency.

No event is refused for its currency. Money in one without an exchange rate waits in the dataflow; here it is counted,
so that the commands that feed events in can report it.
"""

import logging
from collections import Counter
from pathlib import Path
from typing import Any, Final

from contracts.base_currency import BY_FIRST_ORDER, Decision, can_be_base, decide, read_decision
from contracts.currencies import NO_CURRENCY
from contracts.errors import SettingsError
from contracts.notes import Note

_log = logging.getLogger(__name__)
BASE_NOTE: Final = Note("currency", "is the base currency, as neither the event nor its source names one")
NO_NOTE: Final = Note("currency", f"is {NO_CURRENCY}, as neither the event nor its source names one: the money waits")


class MoneyGate:
    """What a door knows of money. ``data_dir`` is where the base currency is decided; without one nothing is.

    ``decided`` is the decision, if it has been made; ``rated`` are the other currencies that have an exchange rate.
    """

    def __init__(
        self, data_dir: Path | None = None, decided: Decision | None = None, rated: frozenset[str] = frozenset()
    ):
        self._data_dir = data_dir
        self._decision = decided
        self._rated = rated
        self._failed = False
        self.waiting: Counter[str] = Counter()
        """How many of the amounts that were let in have no exchange rate, by currency."""

    @property
    def decision(self) -> Decision | None:
        """The base currency, also if somebody else has decided it meanwhile; None while it is undecided."""
        if self._decision is None and self._data_dir is not None:
            try:
                self._decision = read_decision(self._data_dir)
            except SettingsError as error:
                self._fail(error)
        return self._decision

    def complete(self, properties: dict[str, Any], default: str | None, notes: list[Note]) -> dict[str, Any]:
        """Return the properties of a transaction with the currency that its total needs; add to ``notes``.

        ``default`` is the source's currency.
        """
        if properties.get("currency") is not None or properties.get("total") is None:
            return properties
        if default is None:
            decision = self.decision
            default = NO_CURRENCY if decision is None else decision.currency
            notes.append(NO_NOTE if decision is None else BASE_NOTE)
        return {**properties, "currency": default}

    def admit(self, properties: object) -> None:
        """Take note of the money of a transaction that was let in: the first one decides the base currency."""
        currency = properties.get("currency") if isinstance(properties, dict) else None
        if not isinstance(currency, str) or not isinstance(properties, dict):
            return
        if self._decision is None and self._data_dir is not None and not self._failed and can_be_base(currency):
            try:
                self._decision = decide(self._data_dir, currency, BY_FIRST_ORDER)
            except SettingsError as error:
                self._fail(error)
        if not properties.get("total"):
            return  # nothing needs no rate
        if self._decision is None or currency not in {self._decision.currency, *self._rated}:
            self.waiting[currency] += 1

    def _fail(self, error: SettingsError) -> None:
        """Log what is wrong, once: no event is held up by it, as the dataflow decides too."""
        if not self._failed:
            _log.error("%s", error)
        self._failed = True
