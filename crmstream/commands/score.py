"""``crmstream score``: what Redis holds of one customer. Reads only."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

import typer
from redis import Redis

from contracts.errors import CrmError
from contracts.identity import ANONYMOUS, EMAIL, email_key, visitor_id
from contracts.outcomes import Outcome
from contracts.settings import load_settings
from contracts.stored import MERGED_FIELD, profile_key, score_key
from crmstream.commands.aligned import indented
from crmstream.commands.shared import connect_redis, console, new_app, percent, print_json, print_lines
from crmstream.observe.clock import read_as_of
from crmstream.observe.workers import read_pages
from crmstream.stack.endpoints import resolve_endpoints, stack_folder

app = new_app()
_HOPS: Final = 2
"""A device may belong to an e-mail address, and the address to a customer."""


class UnknownCustomerError(CrmError):
    """Redis holds nothing of this customer."""


@app.command(name="score")
def run(
    customer_id: Annotated[
        str, typer.Argument(help="A customer id, the anonymous id of a visitor, or an e-mail address.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Show the scores and the profile of one customer.

    Each outcome has its probability, its percentile (97 = higher than 97 % of
    the customers who are asked the same; visitors are compared with visitors)
    and what raises (+) or lowers (-) it most. Applications read the same from
    Redis: `HGETALL crm:score:{ID}`, with the braces. A visitor has scores under
    `anonymous:` and the anonymous id; one who has been identified is shown as
    the customer (the field merged_into says which).

    [bold]Examples[/bold]

    crmstream score c-000042

    crmstream score c-000042 --json | jq .outcomes.churn.probability
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    found = read_customer(connect_redis(endpoints), customer_id, settings.outcomes)
    if as_json:
        print_json(found)
    else:
        _show(found, str(read_as_of(read_pages(endpoints, stack_folder(settings)))))


def read_customer(client: Redis, customer_id: str, outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Read score and profile of a customer or visitor; of an identified visitor, those of the customer.

    Raises :class:`UnknownCustomerError` if there are none.
    """
    customer_id, score, profile = _found(client, customer_id)
    names = [outcome.name for outcome in outcomes if outcome.name in score]
    scored = {field for name in names for field in (name, f"{name}_percentile", f"{name}_reasons")}
    about = {field: value for field, value in score.items() if field not in scored}
    found = {name: _outcome(score, name) for name in names}
    return {"customer_id": customer_id, **about, "outcomes": found, "profile": profile}


def _found(client: Redis, asked: str) -> tuple[str, dict[str, str], dict[str, str]]:
    """Find the hashes of an id, of the visitor with this id, or of the customer to whom the id belongs."""
    for start in (asked, visitor_id(asked), email_key(asked)):
        name, (score, profile) = start, _hashes(client, start)
        for _ in range(_HOPS):
            person = score.get(MERGED_FIELD) or profile.get(MERGED_FIELD)
            if not person:
                break
            name, (score, profile) = person, _hashes(client, person)
        if score or profile or name != start:
            return name, score, profile
    raise UnknownCustomerError(
        f"Nothing is known of customer {asked!r}: no event has come in, or the dataflow is behind "
        "(`crmstream status` shows how far)."
    )


def _hashes(client: Redis, name: str) -> tuple[dict[str, str], dict[str, str]]:
    pipeline = client.pipeline(transaction=False)
    pipeline.hgetall(score_key(name))
    pipeline.hgetall(profile_key(name))
    score, profile = pipeline.execute()
    return score, profile


def _outcome(score: Mapping[str, str], name: str) -> dict[str, Any]:
    percentile = score.get(f"{name}_percentile")
    return {
        "probability": float(score[name]),
        "percentile": None if percentile is None else float(percentile),
        "reasons": score.get(f"{name}_reasons"),
    }


def _show(found: Mapping[str, Any], clock: str) -> None:
    print_lines(score_lines(found, clock, console.width))


def score_lines(found: Mapping[str, Any], clock: str, width: int) -> list[str]:
    """Lay out what :func:`read_customer` found; ``clock`` says as of when scores are now."""
    who = found["customer_id"]
    kind = "visitors" if who.startswith((ANONYMOUS, EMAIL)) else "customers"
    lines = [f"{kind[:-1].capitalize()} {who}", *([clock] if clock else []), ""]
    for name, outcome in found["outcomes"].items():
        place = "" if outcome["percentile"] is None else f", higher than {outcome['percentile']:.1f} % of {kind}"
        lines.append(f"{name}: {percent(str(outcome['probability']))}{place}")
        for reason in filter(None, (outcome["reasons"] or "").split("; ")):
            lines += indented(reason, width)
    if not found["outcomes"]:
        lines.append("No score yet.")
    about = {name: value for name, value in found.items() if name not in ("customer_id", "outcomes", "profile")}
    return [*lines, *_fields("Score", about), *_fields("Profile", found["profile"])]


def _fields(title: str, fields: Mapping[str, str]) -> list[str]:
    longest = max(map(len, fields), default=0)
    lines = [f"  {name.replace('_', ' '):<{longest}}  {value}" for name, value in fields.items()]
    return ["", title, *lines] if lines else []
