"""``crmstream watch`` without a broker: what becomes of a file that changes, and of a source that goes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.door.doors import Doors
from connectors.files import inbox as inbox_module
from connectors.files.inbox import Inbox
from connectors.kafka.publisher import Summary
from connectors.rows.mapping import load_mapping
from contracts.errors import InputFileError
from contracts.settings import Settings
from crmstream.commands import watch
from crmstream.commands.watch import Target, _Watch
from crmstream.publishing import RoomGate

HEADER = "customer_id,kind,ts,amount,items\n"
ROW = "c-1,purchase,2023-05-01,9.25,1\n"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many events each reading of a file gave."""
    counts: list[int] = []

    def publish(connector: Any, _publisher: object, on_progress: Callable[[int], None], **_: object) -> Summary:
        counts.append(len(list(connector.records())))
        return Summary(counts[-1], 0.0)

    monkeypatch.setattr(watch, "publish_history", publish)
    monkeypatch.setattr(watch, "LOOK_SECONDS", 0)
    monkeypatch.setattr(inbox_module, "FIRST_PAUSE_SECONDS", 0)
    return counts


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    with Inbox(tmp_path, settle_seconds=0) as opened:
        yield opened


def watching(inbox: Inbox) -> _Watch:
    doors = Doors(inbox.folder / ".sources.yaml", "file", None, check_seconds=0)
    settings = Settings(kafka_bootstrap_servers="127.0.0.1:1")
    return _Watch(inbox, load_mapping("purchases"), doors, Target(settings, "127.0.0.1:1", RoomGate(settings, print)))


@pytest.fixture
def meanwhile(published: list[int], monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """What happens while the first file is read, the second, ..."""
    events: list[Callable[[], object]] = []
    publish = watch.publish_history

    def publish_slowly(*arguments: Any, **options: Any) -> Summary:
        summary = publish(*arguments, **options)
        if events:
            events.pop(0)()
        return summary

    monkeypatch.setattr(watch, "publish_history", publish_slowly)
    return events


def add(path: Path, row: str) -> None:
    with path.open("a") as file:
        file.write(row)


class EnoughError(Exception):
    """Ends a watch that has no end."""


def end() -> None:
    raise EnoughError


@pytest.mark.parametrize("before", [HEADER + ROW, HEADER + "no row\n"])
def test_rows_that_are_added_while_a_file_is_read_are_read_too(
    before: str, inbox: Inbox, published: list[int], meanwhile: list[Callable[[], object]]
) -> None:
    path = inbox.folder / "a.csv"
    path.write_text(before)
    meanwhile += [lambda: add(path, ROW.replace("c-1", "c-2"))]
    watching(inbox).run(once=True)
    assert path.exists()  # for the next run
    watching(inbox).run(once=True)
    assert published == [before.count("c-1"), before.count("c-1") + 1]
    assert (inbox.folder / "done" / "a.csv").read_text() == before + ROW.replace("c-1", "c-2")
    assert list((inbox.folder / "failed").iterdir()) == []


def test_once_ends_though_a_file_never_stands_still(
    inbox: Inbox, published: list[int], meanwhile: list[Callable[[], object]], capsys: pytest.CaptureFixture[str]
) -> None:
    path = inbox.folder / "a.csv"
    path.write_text(HEADER + ROW)
    meanwhile += [lambda: add(path, ROW)] * 5 + [end]
    watching(inbox).run(once=True)
    assert published == [1]
    assert "a.csv is being changed: it is left for the next run." in capsys.readouterr().err
    assert inbox.waiting()


def test_a_file_that_changes_behind_a_long_one_is_not_read_half(
    inbox: Inbox, published: list[int], meanwhile: list[Callable[[], object]]
) -> None:
    behind = inbox.folder / "b.csv"
    for path in (inbox.folder / "a.csv", behind):
        path.write_text(HEADER + ROW)
    os.utime(inbox.folder / "a.csv", (1, 1))
    meanwhile += [lambda: behind.write_text(HEADER + ROW + "c-1,purch"), end]
    watching(inbox).run(once=True)
    assert (published, list(inbox.waiting())) == ([1], [behind])


def test_a_source_that_is_taken_out_of_the_file_ends_it_and_leaves_the_file_where_it_is(
    inbox: Inbox, published: list[int]
) -> None:
    sources = inbox.folder / ".sources.yaml"
    sources.write_text("sources: {purchases: {}}")
    running = watching(inbox)
    (inbox.folder / "a.csv").write_text(HEADER + ROW)
    running.run(once=True)
    sources.write_text("sources: {shop: {}}")
    (inbox.folder / "b.csv").write_text(HEADER + ROW)
    with pytest.raises(InputFileError, match="names no source 'purchases'"):
        running.run(once=True)
    assert (published, list(inbox.waiting())) == ([1], [inbox.folder / "b.csv"])
