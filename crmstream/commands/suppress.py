"""``crmstream suppress``: keeps a person's events out from now on."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from contracts.errors import CrmError
from contracts.forgotten import FOR_EVER, Forgotten, change_forgotten, forgotten_path
from crmstream.commands.shared import connect_redis, new_app, print_lines
from crmstream.commands.status_view import plural
from crmstream.commands.warehouse import warehouse
from crmstream.people.forget import ids_of, person_of
from crmstream.stores import Stores

app = new_app()


@app.command(name="suppress")
def run(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Ids, e-mail addresses, phone numbers.")],
    lift: Annotated[bool, typer.Option("--lift", help="Take the events of these people again, from now on.")] = False,
) -> None:
    """Keep the events of people out from now on.

    For people who object to being tracked. Their events are neither stored
    nor counted, whatever source they come from; what is stored stays, and
    `crmstream forget` erases it. The workers restart for it, which takes some
    seconds. Other ids of the same person are kept out as well. Unknown ids can
    be suppressed, too.

    [bold]Examples[/bold]

    crmstream suppress c-000042

    crmstream suppress c-000042 && crmstream forget c-000042 --yes

    crmstream suppress c-000042 --lift
    """
    now = datetime.now(UTC)
    with warehouse("customers") as (settings, endpoints, client):
        stores = Stores(client, connect_redis(endpoints))
        names = [name for each in ids for name in ids_of(person_of(stores, each))]
    lifted = 0

    def change(forgotten: Forgotten) -> None:
        nonlocal lifted
        if lift:
            lifted = forgotten.lift(names, now)
        else:
            forgotten.add(names, FOR_EVER, now)

    change_forgotten(forgotten_path(settings), change)
    if lift and not lifted:
        raise CrmError("None of these ids is suppressed: name each id as it was suppressed.")
    what = f"Took {plural(lifted, 'id')} from the list." if lift else f"Suppressed {plural(len(names), 'id')}."
    print_lines([f"{what} It holds when the workers have restarted, in some seconds."])
