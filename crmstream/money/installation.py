"""What an installation says of money: its base currency, and all exchange rates of its settings and its file."""

from connectors.door.money import MoneyGate
from contracts.base_currency import Decision, base_currency
from contracts.errors import SettingsError
from contracts.rates import Rates, constant_steps
from contracts.settings import Settings
from crmstream.money.rates_file import rates_path, read_rates


def installation_rates(settings: Settings) -> tuple[Rates, Decision | None]:
    """Read everything. Raises :class:`contracts.errors.CrmError` where it contradicts itself."""
    decision = base_currency(settings)
    path = rates_path(settings)
    dated = read_rates(path)
    twice = sorted(dated.keys() & settings.exchange_rates.keys())
    if twice:
        raise SettingsError(f"{', '.join(twice)}: has a rate in CRM_EXCHANGE_RATES and in {path}. Remove one of them.")
    if decision is None and dated:
        raise SettingsError(
            f"{path} says what currencies are worth, but no base currency is decided: run `crmstream init`, or set "
            "CRM_BASE_CURRENCY."
        )
    steps = constant_steps(settings.exchange_rates) | dated
    if decision is not None and decision.currency in steps:
        place = "CRM_EXCHANGE_RATES" if decision.currency in settings.exchange_rates else path
        raise SettingsError(f"{decision.currency} is the base currency, so its rate is 1: remove it from {place}.")
    return Rates(None if decision is None else decision.currency, steps), decision


def money_gate(settings: Settings) -> MoneyGate:
    """Make what doors know of money. Raises like :func:`installation_rates`."""
    rates, decision = installation_rates(settings)
    return MoneyGate(settings.data_dir, decision, frozenset(rates.steps))
