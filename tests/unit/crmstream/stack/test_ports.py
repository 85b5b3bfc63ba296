"""Ports: configured, remembered, free."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from contracts.errors import StackError
from crmstream.stack.ports import PortBook, free_port, is_free


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def test_a_taken_configured_port_is_named_with_setting_and_owner(tmp_path: Path, listener: int) -> None:
    with pytest.raises(StackError, match=f"port {listener} .CRM_KAFKA_PORT.* is taken by .*process {os.getpid()}"):
        PortBook(tmp_path / "ports.json").choose("kafka", listener, "CRM_KAFKA_PORT")


def test_a_free_configured_port_is_used(tmp_path: Path) -> None:
    port = free_port()
    assert PortBook(tmp_path / "ports.json").choose("kafka", port, "CRM_KAFKA_PORT") == port


def test_ports_are_remembered_while_they_are_free(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = PortBook(path)
    chosen = [first.choose(name) for name in ("kafka", "redis")]
    first.save()
    assert len(set(chosen)) == 2
    again = PortBook(path)
    assert [again.choose(name) for name in ("kafka", "redis")] == chosen


def test_a_remembered_port_that_is_taken_is_replaced(tmp_path: Path, listener: int) -> None:
    path = tmp_path / "ports.json"
    path.write_text(json.dumps({"kafka": listener}), encoding="utf-8")
    port = PortBook(path).choose("kafka")
    assert port != listener
    assert is_free(port)


@pytest.mark.parametrize("content", ["", "[]", "{broken"])
def test_an_unreadable_memory_is_forgotten(tmp_path: Path, content: str) -> None:
    path = tmp_path / "ports.json"
    path.write_text(content, encoding="utf-8")
    assert is_free(PortBook(path).choose("kafka"))


def test_a_full_interface_is_not_free(listener: int) -> None:
    assert not is_free(listener)
    assert not is_free(listener, "0.0.0.0")
    assert is_free(free_port(), "127.0.0.1")
