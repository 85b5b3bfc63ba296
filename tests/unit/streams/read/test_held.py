"""A position is published when ClickHouse has the rows of its epoch, never before."""

from streams.read.held import HeldPositions


class Rows:
    """Rows that are stored up to a put."""

    put = 0
    stored = 0

    def last_put(self) -> int:
        return self.put

    def is_stored(self, put: int) -> bool:
        return put <= self.stored


def test_a_position_waits_for_the_rows_of_its_epoch() -> None:
    rows = Rows()
    held = HeldPositions(lambda: rows)
    held.hold({"t": 1})
    assert held.take() == {"t": 1}, "nothing was put into the outbox"
    rows.put = 1
    held.hold({"t": 2})
    rows.put = 2
    held.hold({"t": 3})
    rows.put = 3
    held.hold({"t": 4})
    assert held.take() is None
    rows.stored = 2
    assert held.take() == {"t": 3}
    assert held.take() is None
    rows.stored = 3
    assert held.take() == {"t": 4}


def test_a_position_that_stays_the_same_is_held_once() -> None:
    rows = Rows()
    rows.put = 1
    held = HeldPositions(lambda: rows)
    for _ in range(100):
        held.hold({"t": 1})
    assert len(held._held) == 1


def test_without_rows_a_position_is_published_at_once() -> None:
    held = HeldPositions(lambda: None)
    held.hold({"t": 1})
    assert held.take() == {"t": 1}
    held.hold({"t": 1})
    assert held.take() == {"t": 1}, "again, so that brokers do not forget it"
