"""Positions of protected sources hold no keys of rows that can be read."""

from typing import Any

import pytest
from pydantic import SecretStr

from connectors.databases.seal import Seal
from connectors.privacy.protection import Protector
from contracts.errors import SettingsError

POSITION: dict[str, Any] = {
    "mode": "watermark",
    "tables": {"public.customers": {"start": 7, "after": ["2026-11-22", "ann@example.com"]}},
}
SEAL = Seal(Protector(SecretStr("a secret")))


def test_what_is_sealed_can_be_opened_and_tells_no_key() -> None:
    closed = SEAL.closed(POSITION)
    assert closed["mode"] == "watermark"
    assert "ann" not in str(closed)
    assert SEAL.opened(closed) == POSITION
    assert SEAL.opened(POSITION) == POSITION  # from before there were rules
    assert Seal().closed(POSITION) == Seal().opened(POSITION) == POSITION
    assert SEAL.opened(None) is None


@pytest.mark.parametrize("other", [Seal(), Seal(Protector(SecretStr("another secret")))])
def test_another_key_is_told_with_what_to_do(other: Seal) -> None:
    with pytest.raises(SettingsError, match="start anew with --drop"):
        other.opened(SEAL.closed(POSITION))
