"""A step goes as far as the slowest of its senders, once all have reported."""

from contracts.blocks import Progress
from streams.profiles.progress import Senders


def report(
    source: int, slot: int | None, *, start: int | None = 0, fresh: bool = True, guarded: bool = False
) -> Progress:
    return Progress(source, slot, start, fresh, guarded)


def test_nothing_is_known_before_all_have_reported() -> None:
    senders = Senders(2)
    senders.note(report(0, 5, start=3))
    assert (senders.slot, senders.start, senders.fresh) == (None, None, False)
    senders.note(report(1, None, start=None))
    assert (senders.slot, senders.start, senders.fresh) == (None, None, True)
    senders.note(report(1, 7, start=4))
    assert (senders.slot, senders.start, senders.fresh) == (5, 3, True)


def test_the_slowest_and_the_stalest_decide() -> None:
    senders = Senders(2)
    for each in (report(0, 5), report(1, 9, fresh=False, guarded=True), report(0, 6)):
        senders.note(each)
    assert (senders.slot, senders.fresh, senders.guarded) == (6, False, True)
    senders.note(report(1, 9))
    assert (senders.fresh, senders.guarded) == (True, False)
