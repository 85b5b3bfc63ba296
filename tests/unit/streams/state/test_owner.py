"""Of two processes on one recovery store the one that began first commits nothing more."""

import pickle
from pathlib import Path

import pytest
from support.parts import Shop

from contracts.errors import StateError, TakenOverError
from streams.state.background import Background
from streams.state.owner import FILE, GRACE_SECONDS, VALID_SECONDS, Owner, take_over
from streams.state.store import BucketStore, StepStore


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Process:
    """A process with one bucket in a store."""

    def __init__(self, folder: Path, run: str, token: dict[str, object] | None = None):
        self.rests: list[float] = []
        take_over(folder, run, self.rests.append)
        self.clock, self.shop = Clock(), Shop()
        owner = Owner(self.clock)
        owner.belong(folder, run)
        step = StepStore(folder / "state", "keep", Background(), owner)
        parts = self.shop.parts()
        self.bucket: BucketStore = step.begin("0", parts) if token is None else step.resume(token, parts)

    def commit(self, number: int) -> dict[str, object]:
        """Change something and let the engine commit it."""
        self.clock.now += 1
        self.shop.put(number % 20, number)
        committed: dict[str, object] = pickle.loads(pickle.dumps(self.bucket.save()))
        return committed


def test_the_older_process_ends_before_it_commits_anything(tmp_path: Path) -> None:
    older = Process(tmp_path, "a")
    token = older.commit(1)
    newer = Process(tmp_path, "b", token)
    with pytest.raises(TakenOverError, match="another process has continued the state"):
        older.commit(2)
    with pytest.raises(TakenOverError):
        pickle.dumps(older.bucket.save())  # also a snapshot without changes
    for number in range(3, 30):
        token = newer.commit(number)
    assert Process(tmp_path, "c", token).shop.state() == newer.shop.state()


def test_all_processes_of_a_run_own_the_store(tmp_path: Path) -> None:
    first, second = Process(tmp_path, "a"), Process(tmp_path, "a")
    assert first.commit(1)
    assert second.commit(2)
    assert first.rests == second.rests == [], "no run was there before"


def test_a_new_owner_waits_for_the_commit_that_the_one_of_before_has_begun(tmp_path: Path) -> None:
    Process(tmp_path, "a")
    assert Process(tmp_path, "b").rests == [GRACE_SECONDS]
    assert GRACE_SECONDS > 5 * VALID_SECONDS


def test_one_look_is_enough_for_the_tokens_of_an_epoch(tmp_path: Path) -> None:
    clock = Clock()
    owner = Owner(clock)
    owner.check()  # belongs to no run
    take_over(tmp_path, "a")
    owner.belong(tmp_path, "a")
    owner.check()
    take_over(tmp_path, "b", lambda _: None)
    clock.now += VALID_SECONDS / 2
    owner.check()
    clock.now += VALID_SECONDS
    with pytest.raises(TakenOverError):
        owner.check()


def test_an_owner_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    owner = Owner()
    owner.belong(tmp_path, "a")
    with pytest.raises(StateError, match=f"{FILE} cannot be read: No such file"):
        owner.check()
