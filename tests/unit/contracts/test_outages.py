"""Since when a store is waited for."""

import time

import pytest

from contracts import outages
from contracts.outages import calling, waiting_for, waiting_since


def test_a_store_is_waited_for_since_the_first_who_waits() -> None:
    assert waiting_since("Redis") == 0
    began = time.time()
    with waiting_for("Redis"):
        since = waiting_since("Redis")
        with waiting_for("Redis"):
            pass
        assert waiting_since("Redis") == since
        assert waiting_since("ClickHouse") == 0
    assert began <= since <= time.time()
    assert waiting_since("Redis") == 0


def test_a_call_counts_once_it_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    with calling("Redis"):
        assert waiting_since("Redis") == 0
        monkeypatch.setattr(outages, "SLOW_CALL_SECONDS", -1.0)
        assert waiting_since("Redis") > 0
    assert waiting_since("Redis") == 0
