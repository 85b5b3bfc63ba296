"""The write key in all its forms."""

import asyncio
import base64
import contextlib
import gc
import threading
import weakref
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import yaml
from support.collecting import basic, write_sources

from connectors.collector.answers import AnswerError
from connectors.collector.auth import MOST_REMEMBERED, Sender, Senders, key_in_header
from connectors.collector.browser import anonymous_id_of
from connectors.sources.file import SourcesFile


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (basic("wk"), "wk"),
        ("Basic " + base64.b64encode(b"wk").decode(), "wk"),
        ("basic " + base64.b64encode(b"wk:secret").decode(), "wk"),
        ("Bearer wk", "wk"),
        ("  bearer   wk ", "wk"),
        ("Basic Og==", None),
        ("Basic ?", None),
        ("Basic /w==", None),
        ("Basic \xe9", None),
        ("Digest wk", None),
        ("", None),
        (None, None),
    ],
)
def test_keys_in_headers(header: str | None, key: str | None) -> None:
    assert key_in_header(None if header is None else header.encode("latin-1")) == key


def test_a_key_belongs_to_its_source_until_it_is_revoked(tmp_path: Path) -> None:
    write_sources(tmp_path, {"shop": "one", "app": "two"})
    senders = Senders(tmp_path / "sources.yaml", check_seconds=0)
    assert senders.sender(None, "one", "two").source.name == "shop"
    assert senders.sender("two").door.source.name == "app"
    content = yaml.safe_load((tmp_path / "sources.yaml").read_text())
    content["sources"]["shop"]["keys"][0]["revoked"] = datetime(2026, 1, 2).astimezone().isoformat()
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(AnswerError) as error:
        senders.sender("one")
    assert (error.value.status, error.value.code) == (401, "unknown_write_key")
    assert senders.sender("two").source.name == "app"


def test_a_header_that_is_remembered_is_good_no_longer_than_its_key(tmp_path: Path) -> None:
    write_sources(tmp_path, {"shop": "one", "app": "two"})
    senders = Senders(tmp_path / "sources.yaml", check_seconds=0)
    header = basic("one").encode()
    first = senders.sender_of(header)
    assert first is not None
    assert senders.sender_of(header) is first
    content = yaml.safe_load((tmp_path / "sources.yaml").read_text())
    later = datetime.now().astimezone() + timedelta(hours=1)
    content["sources"]["shop"]["keys"][0]["revoked"] = later.isoformat()
    (tmp_path / "sources.yaml").write_text(yaml.safe_dump(content))
    assert senders.sender_of(header) is not None
    senders._ready.keys._clock = lambda: later + timedelta(seconds=1)
    with pytest.raises(AnswerError) as error:
        senders.sender_of(header)
    assert (error.value.status, error.value.code) == (401, "unknown_write_key")


def test_a_refusal_keeps_nothing_of_its_request_in_memory(tmp_path: Path) -> None:
    """A cycle of an error and its frames would keep whole bodies until garbage is looked for."""
    senders = Senders(tmp_path / "sources.yaml")

    class Content:
        pass

    async def take(content: Content) -> None:
        await senders.find(None)

    async def refused() -> bool:
        content = Content()
        kept = weakref.ref(content)
        with contextlib.suppress(AnswerError):
            await take(content)
        del content
        return kept() is not None

    gc.disable()
    try:
        assert not asyncio.run(refused())
    finally:
        gc.enable()


def test_headers_are_not_remembered_without_end(tmp_path: Path) -> None:
    write_sources(tmp_path, {"shop": "one"})
    senders = Senders(tmp_path / "sources.yaml")
    for number in range(MOST_REMEMBERED + 5):
        senders.sender_of(b"Basic " + base64.b64encode(b"one:%d" % number))
    long = b"Basic " + base64.b64encode(b"one:" + b"x" * 1_000)
    assert senders.sender_of(long) is not senders.sender_of(long)
    assert len(senders._ready.by_header) == 5


def test_a_key_is_known_as_soon_as_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_sources(tmp_path, {"shop": "one"})
    senders = Senders(tmp_path / "sources.yaml", check_seconds=600)
    looks: list[str] = []
    look = SourcesFile._refreshed
    monkeypatch.setattr(
        SourcesFile, "_refreshed", lambda self: (looks.append(threading.current_thread().name), look(self))[1]
    )

    async def ask() -> None:
        following = asyncio.create_task(senders.file.follow())
        assert (await senders.find("one")).source.name == "shop"
        with pytest.raises(AnswerError):
            await senders.find("nobody's")
        write_sources(tmp_path, {"shop": "one", "app": "two", "till": "three"})
        found = await asyncio.gather(
            senders.find("two"), senders.find_of(basic("three").encode()), *(senders.find(f"w{n}") for n in range(50)),
            return_exceptions=True,
        )  # fmt: skip
        assert [one.source.name for one in found[:2] if isinstance(one, Sender)] == ["app", "till"]
        assert {one.code for one in found[2:] if isinstance(one, AnswerError)} == {"unknown_write_key"}
        following.cancel()
        await asyncio.wait([following])

    asyncio.run(ask())
    assert looks[0] == threading.main_thread().name
    assert len(looks) < 10  # however many wrong keys come
    assert threading.main_thread().name not in looks[1:]


def test_a_header_without_a_key_tells_nobody(tmp_path: Path) -> None:
    senders = Senders(tmp_path / "sources.yaml")
    assert [senders.sender_of(header) for header in (None, b"", b"Digest x")] == [None] * 3


def test_without_a_key_nobody_sends(tmp_path: Path) -> None:
    senders = Senders(tmp_path / "sources.yaml")
    with pytest.raises(AnswerError) as error:
        senders.sender(None, "")
    assert (error.value.status, error.value.code) == (401, "no_write_key")


def test_a_visitor_in_a_header() -> None:
    assert anonymous_id_of(base64.b64encode(b"a-1")) == "a-1"
    assert [anonymous_id_of(header) for header in (None, b"", b"?", b"/w==")] == [None] * 4
