"""``crmstream demo``: a local stack, a simulated shop, and its scores live in the terminal.

Delivery: that of the dataflow. Everything is in the folder ``demo`` of CRM_DATA_DIR, which each demo begins by
emptying; servers that the settings name are not touched.
"""

import time
from contextlib import closing
from typing import Annotated

import typer
from pydantic import ValidationError

from connectors.simulator.config import DEFAULT_CURRENCY, ShopConfig
from contracts.errors import SettingsError
from contracts.settings import Settings, load_settings
from crmstream.commands.shared import console, new_app, notes, print_json
from crmstream.demo.folder import fresh_folder
from crmstream.demo.screen import Screen, make_screen
from crmstream.demo.show import Plan, Show
from crmstream.demo.summary import Ending, as_dictionary, as_lines
from crmstream.running import apart, full_stack, money_in
from crmstream.stack.endpoints import DEMO_FOLDER
from crmstream.stack.supervisor import LocalStack

app = new_app()

Seconds = Annotated[float | None, typer.Option(min=0.1, help="End after so many seconds of live. Default: at Ctrl-C.")]
Customers = Annotated[int, typer.Option(min=1, help="About how many customers join in the two years.")]
Seed = Annotated[int, typer.Option(min=0, help="Another seed is another shop.")]
Acceleration = Annotated[float, typer.Option(min=0.001, help="Simulated seconds per second of the live part.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Worker processes (CRM_WORKERS).", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print only the summary, as JSON.")]


@app.command(name="demo")
def run(  # noqa: PLR0913, PLR0917 - one argument per option
    seconds: Seconds = None,
    customers: Customers = 2_000,
    seed: Seed = 7,
    acceleration: Acceleration = 21_600,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Show it all: a local stack, a simulated shop, live scores in the terminal.

    Starts a stack of its own, publishes two years of a simulated shop at full
    speed, so that the models have learned, and then lets the shop go on live,
    six hours per second. Shown are events per second, the time from an event
    to its score, customers, who is about to leave or to buy and why, and how
    good the models have proved to be. Ctrl-C ends it with a summary.

    Its data is in the folder demo of CRM_DATA_DIR (.crmstream/demo); every demo
    begins by emptying it, so the same options show the same shop. Meanwhile
    score, top and status work in another terminal, unless a stack of your own
    is up. Afterwards CRM_DATA_DIR=.crmstream/demo crmstream up goes on with it.

    [bold]Examples[/bold]

    crmstream demo

    crmstream demo --customers 20000 --workers 2

    crmstream demo --seconds 30 --json | jq .end_to_end_seconds
    """
    began = time.monotonic()
    plan = Plan(_shop(seed, customers), acceleration, seconds, began)
    own = load_settings() if workers is None else load_settings(workers=workers)
    settings = apart(own, own.data_dir / DEMO_FOLDER, time="history", **money_in(DEFAULT_CURRENCY))  # a time of its own
    screen = make_screen(notes)
    fresh_folder(settings.data_dir.parent)
    with full_stack(settings, on_event=screen.say) as stack:
        ending = _show(plan, settings, stack, screen)
    if as_json:
        print_json(as_dictionary(ending))
    else:
        for line in as_lines(ending):
            console.print(line, markup=False, highlight=False, soft_wrap=True)


def _shop(seed: int, customers: int) -> ShopConfig:
    """The shop; an option that does not fit becomes a readable error."""
    try:
        return ShopConfig(seed=seed, customers=customers)
    except ValidationError as error:
        raise SettingsError("; ".join(f"--{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None


def _show(plan: Plan, settings: Settings, stack: LocalStack, screen: Screen) -> Ending:
    """Run the demo until its time is up or Ctrl-C."""
    with closing(Show(plan, settings, stack, screen)) as show:
        try:
            show.run()
        except KeyboardInterrupt:
            return show.ending(completed=False)
        return show.ending(completed=True)
