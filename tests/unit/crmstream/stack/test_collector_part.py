"""The collector's port: its own one, a substitute that is announced, and the way back."""

import json
import socket
from pathlib import Path

import pytest

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.stack import collector_part
from crmstream.stack.collector_part import choose_port
from crmstream.stack.ports import PortBook, free_port


@pytest.fixture
def own_port(monkeypatch: pytest.MonkeyPatch) -> int:
    port = free_port()
    monkeypatch.setattr(collector_part, "DEFAULT_PORT", port)
    monkeypatch.setattr(collector_part, "RETURN_SECONDS", 0)
    return port


def test_without_a_setting_the_own_port_is_taken(own_port: int, tmp_path: Path) -> None:
    place = choose_port(PortBook(tmp_path / "ports.json"), Settings(collector_port=None))
    assert (place.port, place.notice) == (own_port, None)
    assert not place.own_port_is_free()


def test_a_substitute_is_announced_and_left_when_the_own_port_is_free(own_port: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", own_port)):
        place = choose_port(PortBook(tmp_path / "ports.json"), Settings(collector_port=None))
        assert place.port != own_port
        assert f"PORT {own_port} IS TAKEN by " in str(place.notice)
        assert f"listens on port {place.port} instead" in str(place.notice)
        assert not place.own_port_is_free()
    assert place.own_port_is_free()
    place.go_back()
    assert (place.port, place.notice) == (own_port, None)


def test_a_substitute_is_not_remembered_for_the_next_start(own_port: int, tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text(json.dumps({"collector": free_port()}), encoding="utf-8")
    assert choose_port(PortBook(tmp_path / "ports.json"), Settings(collector_port=None)).port == own_port


def test_the_port_of_another_stack_is_left_to_it(
    own_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collector_part, "_is_collector", lambda process: True)
    with socket.create_server(("127.0.0.1", own_port)):
        place = choose_port(PortBook(tmp_path / "ports.json"), Settings(collector_port=None))
    assert "another crmstream stack" in str(place.notice)
    assert "CRM_COLLECTOR_PORT" in str(place.notice)
    assert not place.own_port_is_free()


def test_a_port_that_is_set_and_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} .CRM_COLLECTOR_PORT. is taken"):
            choose_port(PortBook(tmp_path / "ports.json"), Settings(collector_port=port))
