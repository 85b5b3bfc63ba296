"""What commands say of the base currency and of money that waits for an exchange rate. Moves no data."""

from collections.abc import Mapping, Sequence
from contextlib import closing

from clickhouse_connect.driver.exceptions import ClickHouseError

from contracts.base_currency import Decision, read_decision
from contracts.currencies import NO_CURRENCY
from contracts.errors import CrmError
from contracts.settings import Settings
from crmstream.stack.endpoints import DEMO_FOLDER, Endpoints, running_stack
from sinks.clients import clickhouse_client
from sinks.exchange_rates import Waiting, waiting_amounts

UNDECIDED = "Base currency: undecided; the first order decides it. `crmstream init` does so before."


def base_line(decision: Decision | None) -> str:
    """Say which currency profiles add up in, and why."""
    return UNDECIDED if decision is None else f"Base currency: {decision}."


def waiting_line(currency: str, amounts: int, decision: Decision | None, total: str = "") -> str:
    """Say that amounts wait, and what to do. ``total`` is their sum, if it is known."""
    noun = "amount" if amounts == 1 else "amounts"
    what = "without a currency" if currency == NO_CURRENCY else f"in {currency}"
    wait = f"{amounts:,} {noun} {what}{f' ({total})' if total else ''} {'waits' if amounts == 1 else 'wait'} for a rate"
    if decision is None:
        return f"{wait}: decide the base currency with `crmstream init`."
    return f"{wait}: `crmstream rates set {currency} RATE` (1 {currency} in {decision.currency})."


def fed_lines(decision: Decision | None, waiting: Mapping[str, int]) -> list[str]:
    """Say what those who fed events in should know."""
    return [base_line(decision), *(waiting_line(code, count, decision) for code, count in sorted(waiting.items()))]


def stored_lines(decision: Decision | None, waiting: Sequence[Waiting] | None) -> list[str]:
    """Say how many amounts of those stored wait; ``waiting`` is None where ClickHouse cannot say."""
    lines = [waiting_line(one.currency, one.amounts, decision, f"{one.total:,.2f}") for one in waiting or ()]
    return [base_line(decision), *lines]


def stack_decision(settings: Settings) -> Decision | None:
    """Read the base currency of the stack that commands talk to: that of the demo, if only the demo runs."""
    demo = settings.data_dir / DEMO_FOLDER
    only_demo = running_stack(settings.data_dir) is None and running_stack(demo) is not None
    return read_decision(demo if only_demo else settings.data_dir)


def as_rows(waiting: Sequence[Waiting] | None) -> list[dict[str, object]] | None:
    """Give what waits for programs; sums are texts, so that no digit is lost."""
    if waiting is None:
        return None
    return [{"currency": one.currency, "amounts": one.amounts, "total": f"{one.total:f}"} for one in waiting]


def read_waiting(settings: Settings, endpoints: Endpoints) -> list[Waiting] | None:
    """Count the amounts that wait in ClickHouse; None if it does not say."""
    try:
        with closing(clickhouse_client(endpoints.clickhouse_url, settings.clickhouse_database)) as client:
            return waiting_amounts(client)
    except (CrmError, ClickHouseError):
        return None
