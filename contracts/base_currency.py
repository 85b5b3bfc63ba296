"""The base currency of an installation: decided once, in a small file of the data folder.

Profiles add up amounts in it, so it never changes by itself. ``crmstream init`` decides it, or the setting
CRM_BASE_CURRENCY, or else the first amount that comes in. The file is created as a whole and never overwritten: of two
processes that decide at once the first one wins, and the other uses its decision.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from contracts.currencies import CODES, NO_CURRENCY
from contracts.errors import SettingsError
from contracts.settings import Settings

FILE: Final = "base-currency.json"
BY_SETTING: Final = "set by CRM_BASE_CURRENCY"
BY_INIT: Final = "chosen with crmstream init"
BY_FIRST_ORDER: Final = "from the first order"


class UnwritableError(SettingsError):
    """The data folder is not writable, so no decision can be stored there."""


@dataclass(frozen=True)
class Decision:
    """The base currency, and a text that says how it was decided."""

    currency: str
    how: str

    def __str__(self) -> str:
        return f"{self.currency} ({self.how})"


def base_currency(settings: Settings) -> Decision | None:
    """Return the decision, or None if there is none. A setting decides if there is no decision yet.

    Raises :class:`SettingsError` if CRM_BASE_CURRENCY differs from the decision, or if there are exchange rates without
    a base currency.
    """
    made = read_decision(settings.data_dir)
    wanted = settings.base_currency
    if made is None and wanted is not None:
        try:
            made = decide(settings.data_dir, wanted, BY_SETTING)
        except UnwritableError:  # a connector on a machine of its own needs no folder to write into
            made = Decision(wanted, BY_SETTING)
    if made is not None and wanted not in {None, made.currency}:
        raise SettingsError(
            f"CRM_BASE_CURRENCY is {wanted}, but this installation counts in {made}. Unset it, or use another "
            f"CRM_DATA_DIR. To count everything anew in {wanted}: stop `crmstream up`, remove "
            f"{settings.data_dir / FILE} and move {settings.data_dir / 'recovery'} away."
        )
    if made is None and settings.exchange_rates:
        raise SettingsError(
            "CRM_EXCHANGE_RATES says what currencies are worth, but no base currency is decided: set "
            "CRM_BASE_CURRENCY, or run `crmstream init`."
        )
    return made


def read_decision(data_dir: Path) -> Decision | None:
    """Read the decision of a data folder. Raises :class:`SettingsError` if its file is broken."""
    path = data_dir / FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return Decision(str(found["currency"]), str(found["how"]))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(
            f"{path}, which holds the base currency, cannot be read. `crmstream init --base-currency EUR` writes it "
            "anew after you have removed it; it must name the same currency as before."
        ) from None


def decide(data_dir: Path, currency: str, how: str) -> Decision:
    """Store the decision unless there is one; return the one in force. Raises :class:`SettingsError`."""
    if currency not in CODES or currency == NO_CURRENCY:
        raise SettingsError(f"{currency} cannot be the base currency: it is not an ISO 4217 currency code such as EUR.")
    path = data_dir / FILE
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        with NamedTemporaryFile("w", encoding="utf-8", dir=data_dir, prefix=f"{FILE}.") as file:
            json.dump({"currency": currency, "how": how}, file)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)
    except FileExistsError:
        pass
    except OSError as error:
        raise UnwritableError(f"{path}, for the base currency, cannot be written: {error.strerror}.") from None
    made = read_decision(data_dir)
    if made is None:
        raise SettingsError(f"{path} was removed while it was written.")
    return made


def can_be_base(currency: object) -> bool:
    """Return whether an amount in this currency may decide the base currency."""
    return isinstance(currency, str) and currency in CODES and currency != NO_CURRENCY
