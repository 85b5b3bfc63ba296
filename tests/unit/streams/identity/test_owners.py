"""Owners and visits restored from what changed: every column, and what is derived from them."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from support.columns import DAY
from support.restarting import STEPS, Restarting

from contracts.state import Part
from contracts.times import SECOND
from streams.identity.owners import LONG_AGO, NO_ROUTE, Owners
from streams.identity.policy import IdentityPolicy
from streams.identity.sessions import CustomerVisits, Visits

POLICY = IdentityPolicy(DAY, 1, 1, len)


class Holder:
    def __init__(self) -> None:
        self.owners, self.visits = Owners(), CustomerVisits()

    def parts(self) -> dict[str, Part]:
        return {"owners": self.owners, "visits": self.visits}

    def act(self, what: int, row: int, person: str) -> list[bool]:
        owners = self.owners
        owners.reach(row + 1)
        match what:
            case 0:
                owners.assign(row, person, row if person else NO_ROUTE, 10 * row)
            case 1:
                owners.web_seconds[row] = row
                owners.see(np.array([row, row]))
            case 2:
                owners.forget(np.array([row]))
            case 3:
                self.visits.forget(row)
            case _:
                visits = Visits(np.array([row * SECOND]), np.zeros(1, np.int64))
                return self.visits.starts([person], visits, POLICY).tolist()
        return []

    def content(self) -> tuple[object, ...]:
        owners = self.owners
        size = int(owners.whole()["size"][0])
        columns = (owners.owners(np.arange(size)), owners.routes, owners.since, owners.web_seconds)
        merges = [owners.merges(person) for person in "abc"]
        free = owners.free(0, size).tolist()
        return [column[:size].tolist() for column in columns], free, merges, list(self.visits._rows)


@given(
    st.lists(
        st.tuples(st.integers(0, 4), st.sampled_from([0, 1, 2, 70, 500]), st.sampled_from(["", "a", "b", "c"])),
        max_size=20,
    ),
    st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=20),
)
def test_a_table_restored_from_its_changes_equals_one_that_never_stopped(
    acts: list[tuple[int, int, str]], steps: list[int]
) -> None:
    holder, plain, turns = Restarting(Holder), Holder(), itertools.cycle(steps)
    for act in acts:
        assert holder.machine.act(*act) == plain.act(*act)
        holder.step(next(turns))
    assert holder.machine.content() == plain.content()


def test_only_rows_that_changed_are_stored() -> None:
    owners = Owners()
    owners.reach(1_000)
    owners.whole()
    assert owners.changes() == {}
    owners.assign(7, "a", 3, 5)
    owners.web_seconds[9] = 11
    owners.see(np.array([9]))
    changes = owners.changes()
    assert (changes["at"].tolist(), bytes(changes["owners"])) == ([7], b"a")  # type: ignore[union-attr]
    assert (changes["seen"].tolist(), changes["web_seconds"].tolist()) == ([9], [11])  # type: ignore[union-attr]
    assert owners.changes() == {}
    assert owners.web_seconds[8] == LONG_AGO
