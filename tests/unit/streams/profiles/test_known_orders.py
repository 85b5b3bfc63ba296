"""An order that is reported under several event ids counts once per owner; all else by its event id only."""

from collections.abc import Sequence

import numpy as np
from support.columns import DAY, Happening, columns

from streams import codes
from streams.profiles.known_ids import KnownIds
from streams.profiles.known_orders import admit, ids_in


def order(
    number: int, customer: str = "a", code: int = codes.ORDER, event: int | None = None, day: int = 1
) -> Happening:
    return Happening(customer, day * DAY, code, order=number, score=number, id=event)


def counted(known: KnownIds, *happened: Happening) -> list[bool]:
    owners, events = columns(happened)
    return admit(known, events, owners).tolist()


def test_the_first_report_of_an_order_counts() -> None:
    known = KnownIds(100)
    assert counted(known, order(7), order(7), order(8), order(7, day=9)) == [True, False, True, False]
    assert counted(known, order(8), order(9), order(-7)) == [False, True, True]


def test_orders_of_others_and_orders_without_a_number_are_not_the_same() -> None:
    known = KnownIds(100)
    assert counted(known, order(7), order(7, "b"), order(0), order(0)) == [True] * 4


def test_other_events_are_known_by_their_id_only() -> None:
    others: Sequence[int] = (codes.REFUND, codes.CANCELLATION, codes.SATISFACTION, codes.PAGE_VIEW)
    known = KnownIds(100)
    assert counted(known, *[order(7, code=code) for code in others for _ in range(2)]) == [True] * 8
    assert counted(known, order(7)) == [True]


def test_an_event_that_comes_again_stays_known_though_its_order_was_reported_before() -> None:
    known = KnownIds(100)
    assert counted(known, order(7, event=1), order(7, event=2)) == [True, False]
    assert counted(known, order(7, event=2), order(9, event=1)) == [False, False]


def test_ids_of_events_and_of_orders_need_room() -> None:
    _, events = columns([order(7), order(0), order(7, code=codes.REFUND)])
    assert ids_in(events) == 4
    known = KnownIds(100)
    admit(known, events, np.array(["a"] * 3, object))
    assert len(known) == 4
