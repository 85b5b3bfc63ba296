"""The exchange rates in force: one file, written before workers start and read by each of them as it starts.

So all workers of a run have the same rates and the same base currency, even if someone edits the rates file meanwhile.
"""

import json
from pathlib import Path
from typing import Final

from contracts.rates import Rates, constant_steps, rates_of_json
from contracts.settings import Settings
from contracts.whole_files import replace_file

FILE: Final = "rates-in-force.json"


def save_rates(data_dir: Path, rates: Rates) -> None:
    """Write the file, as a whole or not at all."""
    replace_file(data_dir / FILE, json.dumps(rates.as_json()))


def saved_rates(data_dir: Path) -> Rates | None:
    """Read the file; None if there is none."""
    try:
        return rates_of_json(json.loads((data_dir / FILE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None


def rates_in_force(settings: Settings) -> Rates:
    """Return the rates of this run; the rates of the settings if there is no file."""
    saved = saved_rates(settings.data_dir)
    return Rates(settings.base_currency, constant_steps(settings.exchange_rates)) if saved is None else saved
