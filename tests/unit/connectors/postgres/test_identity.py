"""A slot is followed only if it is the position's, and has all that comes after it."""

from typing import Any

import pytest

from connectors.postgres.catalog import Slot
from connectors.postgres.identity import check_slot
from connectors.postgres.stream import lsn_number
from contracts.errors import CrmError

AT = {"slot": "mine", "phase": "stream", "start": "0/20"}
BEGUN = {"slot": "mine", "phase": "snapshot", "begins_at": "0/20", "runs": []}
WANTED = {"slot": "mine", "phase": "snapshot", "runs": []}


def slot(confirmed: str, *, is_lost: bool = False) -> Slot:
    return Slot(None, is_lost, confirmed, 0)


@pytest.mark.parametrize(
    ("position", "found"),
    [({}, None), (WANTED, None), (WANTED, slot("0/10")), (BEGUN, slot("0/20")), (AT, slot("0/20")), (AT, slot("0/1F"))],
)
def test_ours_as_it_was_left(position: dict[str, Any], found: Slot | None) -> None:
    check_slot(position, found, "mine")


@pytest.mark.parametrize(
    ("position", "found", "told"),
    [
        ({}, slot("0/10"), "Kafka has no position for it"),
        (AT, None, "is gone"),
        (BEGUN, None, "is gone"),
        (WANTED, slot("0/10", is_lost=True), "is gone"),
        (AT, slot("0/21"), "stands at 0/21 .* what came before 0/20: another program has read the slot"),
        (BEGUN, slot("1/0"), "The changes in between are lost. To start anew, run once with --drop"),
        ({**AT, "slot": "other"}, slot("0/20"), "has read the slot other so far: name it as `slot`"),
    ],
)
def test_another_one_is_refused_with_what_to_do(position: dict[str, Any], found: Slot | None, told: str) -> None:
    with pytest.raises(CrmError, match=told):
        check_slot(position, found, "mine")


def test_what_this_process_saw_pass_is_not_missed() -> None:
    """The driver has confirmed it to a server that shut down, while Kafka was away."""
    check_slot(AT, slot("0/30"), "mine", passed=lsn_number("0/30"))
    with pytest.raises(CrmError, match="another program"):
        check_slot(AT, slot("0/31"), "mine", passed=lsn_number("0/30"))
