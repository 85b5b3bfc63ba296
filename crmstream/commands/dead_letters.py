"""``crmstream dead-letters``: rejected records. ``retry`` publishes them again, ``purge`` removes them.

``resume`` lets a topic go on that is paused because too many of its records are invalid.
"""

import re
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer
from clickhouse_connect.driver.client import Client

from connectors.kafka.publisher import Publisher
from contracts.errors import CrmError
from contracts.settings import load_settings
from crmstream.commands.aligned import indented
from crmstream.commands.shared import console, new_app, print_json, print_lines
from crmstream.commands.status_view import plural
from crmstream.commands.warehouse import warehouse
from crmstream.dead_letters import letters, resume, retry
from crmstream.dead_letters.letters import Filter, Group, Letter, Place
from crmstream.observe.kafka import KafkaView
from crmstream.observe.lanes import paused_topics
from crmstream.observe.workers import ask_workers
from crmstream.stack.endpoints import resolve_endpoints, stack_folder

app = new_app()
_SPAN: Final = re.compile(r"(\d{1,6})\s*(m|h|d|min|hours?|days?)")
_MINUTES: Final = {"m": 1, "h": 60, "d": 1_440}
_LONGEST_BODY: Final = 100_000


class FilterError(CrmError):
    """The filter cannot be read, or is missing where one is needed."""


Since = Annotated[str | None, typer.Option(help="Only those since then: 24h, 7d, or a date or time in UTC.")]
Before = Annotated[str | None, typer.Option(help="Only those before then: 24h, 7d, or a date or time in UTC.")]
Source = Annotated[str, typer.Option(help="Only those of a source.")]
Stage = Annotated[str, typer.Option(help="Only those of a stage: decode, collect, plan, ...")]
Topic = Annotated[str, typer.Option(help="Only those of a topic.")]
ReasonText = Annotated[str, typer.Option("--reason", help="Only those whose reason contains this text.")]
All = Annotated[bool, typer.Option("--all", help="All of them, without a filter.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.callback(no_args_is_help=True)
def dead_letters() -> None:
    """List, show, retry or purge the records that were rejected; resume topics.

    The table dead_letters keeps each rejected record with its reason. A record
    that comes again with the same bytes stays one row, that of the first; the
    topic crm-dead-letters keeps each of them for 90 days.

    [bold]Examples[/bold]

    crmstream dead-letters list --since 24h

    crmstream dead-letters show crm-transactions/2/1234

    crmstream dead-letters retry --reason currency --dry-run
    """


@app.command(name="list")
def list_(  # noqa: PLR0913 - the options of a command
    *,
    since: Since = None,
    source: Source = "",
    stage: Stage = "",
    topic: Topic = "",
    reason: ReasonText = "",
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many groups.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List rejected records by day and cause, the newest day first.

    Each group names the position of its newest record, for `show`.

    [bold]Examples[/bold]

    crmstream dead-letters list

    crmstream dead-letters list --since 7d --source shop --reason total
    """
    wanted = Filter(_moment(since), None, source, stage, topic, reason)
    with warehouse("dead_letters") as (_, _, client):
        total = letters.count_letters(client, wanted)
        groups = letters.read_groups(client, wanted, limit + 1)
    if as_json:
        print_json({"count": total, "groups": [_group_document(group) for group in groups[:limit]]})
        return
    for group in groups[:limit]:
        print_lines(_group_lines(group))
    more = "; more groups: --limit" if len(groups) > limit else ""
    print_lines([f"{plural(total, 'dead letter')} in all{more}." if total else "There are no dead letters."])


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="TOPIC/PARTITION/OFFSET", help="The record's position.")],
    as_json: AsJson = False,
) -> None:
    """Show one rejected record: where it came from, what is wrong, and its bytes.

    The body may hold personal data.

    [bold]Examples[/bold]

    crmstream dead-letters show crm-transactions/2/1234
    """
    with warehouse("dead_letters") as (_, _, client):
        letter = letters.read_letter(client, letters.read_place(place))
    if as_json:
        print_json(_letter_document(letter))
    else:
        print_lines(_letter_lines(letter))


@app.command(name="retry")
def retry_(  # noqa: PLR0913 - the options of a command
    places: Annotated[list[str] | None, typer.Argument(metavar="[TOPIC/PARTITION/OFFSET]...")] = None,
    *,
    since: Since = None,
    before: Before = None,
    source: Source = "",
    stage: Stage = "",
    topic: Topic = "",
    reason: ReasonText = "",
    everything: All = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be published.")] = False,
) -> None:
    """Publish rejected records again, after their cause was fixed.

    Their bytes go to their topic as they came, each record once. Events keep
    their ids, so one that arrives twice counts once. Retried records leave the
    table; those that the dataflow rejects again come back with their new
    position. Records that still break the contract stay. Webhooks, SDK messages
    and rows that a connector refused are not events yet: send them again from
    their source; the section "Rejected records" of docs/operations.md says how.

    [bold]Examples[/bold]

    crmstream dead-letters retry --reason currency --dry-run

    crmstream dead-letters retry crm-transactions/2/1234
    """
    wanted = Filter(_moment(since), _moment(before), source, stage, topic, reason)
    _needed(wanted, chosen=everything or bool(places))
    with warehouse("dead_letters") as (settings, endpoints, client):
        chosen = _chosen(client, places, wanted)
        if dry_run:
            found = retry.preview(chosen)
        else:
            with Publisher(endpoints.kafka, settings.partitions, settings.sweep_hours, source="retry") as publisher:
                found = retry.retry(chosen, publisher, client)
    done = "would be published again" if dry_run else "published again"
    lines = [f"{plural(len(found.published), 'record')} {done}."]
    lines += _reasons(found.rejected, "still rejected")
    lines += _reasons(found.left_out, "left out")
    print_lines(lines)


@app.command()
def purge(  # noqa: PLR0913 - the options of a command
    *,
    since: Since = None,
    before: Before = None,
    source: Source = "",
    stage: Stage = "",
    topic: Topic = "",
    reason: ReasonText = "",
    everything: All = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove rejected records from the warehouse, after a question.

    The topic crm-dead-letters keeps its copies for its 90 days. Purged records
    no longer count in `crmstream status`.

    [bold]Examples[/bold]

    crmstream dead-letters purge --before 30d

    crmstream dead-letters purge --all
    """
    wanted = Filter(_moment(since), _moment(before), source, stage, topic, reason)
    _needed(wanted, chosen=everything)
    with warehouse("dead_letters") as (_, _, client):
        count = letters.count_letters(client, wanted)
        if not count:
            print_lines(["There are no such dead letters."])
            return
        if not yes:
            typer.confirm(f"Remove {plural(count, 'dead letter')} from the warehouse?", abort=True, err=True)
        letters.remove_letters(client, wanted)
    print_lines([f"{plural(count, 'dead letter')} removed. Kafka keeps its copies in crm-dead-letters for 90 days."])


@app.command(name="resume")
def resume_(
    *,
    topic: Annotated[list[str] | None, typer.Option(help="A topic, also repeatedly. Unset: all paused ones.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which topics would go on.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let topics go on that are paused because too many records are invalid.

    With CRM_DEAD_LETTER_BREAKER a topic is paused when more than that share of
    its newest records is invalid. Nothing is lost: the records stay in the log.
    First look at the cause: the worker's log and `list` name it. Fix the sender,
    the plan or the mapping. Then resume: the records that are in the log by now
    are read, the valid ones count, and the invalid ones become dead letters for
    `retry`. Records that come later are judged afresh, so the topic is paused
    again if the cause persists. Restarts of the workers change nothing.

    The workers go on within a second. Workers of several hosts read the decision
    from the CRM_DATA_DIR that they share. While workers are down, name the topic.

    [bold]Examples[/bold]

    crmstream dead-letters resume --dry-run

    crmstream dead-letters resume --topic crm-web-events
    """
    settings = load_settings()
    endpoints = resolve_endpoints(settings)
    paused = paused_topics(ask_workers(endpoints, stack_folder(settings)).pages)
    topics = resume.chosen_topics(topic or [], paused)
    kafka = KafkaView(endpoints.kafka)
    offsets = kafka.offsets()
    planned = resume.plan_resume(topics, paused, offsets)
    if not dry_run:
        resume.resume(settings.data_dir, kafka.cluster_id(), topics, offsets)
    if as_json:
        print_json([vars(each) for each in planned])
        return
    done = "would go on" if dry_run else "goes on"
    print_lines(f"{each.topic} {done}: {_accepted(each)}." for each in planned)


def _accepted(resumed: resume.Resumed) -> str:
    if not resumed.partitions:
        return "no worker says that it is paused; its records up to the end of the log are accepted"
    partitions = ", ".join(map(str, resumed.partitions))
    noun = "partition" if len(resumed.partitions) == 1 else "partitions"
    return f"{plural(resumed.records, 'record')} in {noun} {partitions}"


def _chosen(client: Client, places: Iterable[str] | None, wanted: Filter) -> Iterable[Letter]:
    if not places:
        return letters.read_letters(client, wanted)
    return [letters.read_letter(client, letters.read_place(place)) for place in places]


def _needed(wanted: Filter, *, chosen: bool) -> None:
    """Raise :class:`FilterError` if no dead letters are selected."""
    if not chosen and wanted == Filter():
        raise FilterError("Say which dead letters: by a filter (--since, --reason, ...), or --all.")


def _moment(text: str | None) -> datetime | None:
    """Read a moment: a span back from now, or a date or time (UTC if it names no zone)."""
    if text is None:
        return None
    span = _SPAN.fullmatch(text.strip())
    if span is not None:
        return datetime.now(UTC) - timedelta(minutes=int(span[1]) * _MINUTES[span[2][0]])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise FilterError("A moment is a span such as 30m, 24h or 7d, or a date such as 2026-05-01.") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _group_lines(group: Group) -> list[str]:
    origin = f"{group.topic}  {group.stage}{f'  source {group.source}' if group.source else ''}"
    reason = indented(group.reason, console.width)
    return [f"{group.day}  {group.count:>9,} × {origin}", *reason, f"    newest: {group.newest}"]


def _letter_lines(letter: Letter) -> list[str]:
    fields = {
        "position": str(letter.place),
        "entered Kafka": f"{letter.entered_at:%Y-%m-%d %H:%M:%S} UTC",
        "stage": letter.stage,
        "source": letter.source or "–",
        "reason": letter.reason,
        "error": letter.error,
        "key": _printable(letter.key),
        "can be retried": retry.why_not(letter) or "yes",
    }
    body = _printable(letter.body)
    cut = f"\n... {len(body) - _LONGEST_BODY:,} more characters" if len(body) > _LONGEST_BODY else ""
    lines = [f"{name:<15} {value}" for name, value in fields.items()]
    return [*lines, "", f"body, {plural(len(letter.body), 'byte')}:", body[:_LONGEST_BODY] + cut]


def _printable(value: bytes) -> str:
    """Return bytes as text without control characters, which could move the cursor of the terminal."""
    text = value.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _reasons(counts: Counter[str], why: str) -> list[str]:
    return [f"{count:,} {why}: {reason}." for reason, count in counts.most_common()]


def _group_document(group: Group) -> dict[str, object]:
    return {**vars(group), "newest": str(group.newest)}


def _letter_document(letter: Letter) -> dict[str, object]:
    fields = {name: value for name, value in vars(letter).items() if not isinstance(value, bytes | Place)}
    texts = {name: getattr(letter, name).decode(errors="backslashreplace") for name in ("key", "body")}
    return {"position": str(letter.place), **fields, **texts, "retry": retry.why_not(letter) or "yes"}
