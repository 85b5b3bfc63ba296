"""Any order of changes, snapshots, crashes, lost and damaged bytes: a resumed bucket equals the state at its token."""

import pickle
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st
from support.parts import Shop

from streams.state import store
from streams.state.background import Background
from streams.state.files import files_in
from streams.state.store import BucketStore, StepStore

SMALLEST: Final = 300


class Steered(Background):
    """Does what belongs to the background when the test says so, or never."""

    def __init__(self) -> None:
        super().__init__()
        self.left: list[tuple[Callable[[], None], Future[None]]] = []

    def run(self, work: Callable[[], None]) -> Future[None]:
        done: Future[None] = Future()
        self.left.append((work, done))
        return done

    def go(self) -> None:
        if self.left:
            work, done = self.left.pop(0)
            work()
            done.set_result(None)


@dataclass
class Run:
    """A bucket over its runs, with what is committed: a token as the engine keeps it, and the state at it."""

    root: Path
    committed: tuple[dict[str, Any], object] | None = None
    saved: tuple[Any, object] | None = None
    shop: Shop = field(init=False)
    bucket: BucketStore = field(init=False)
    threads: Steered = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.shop, self.threads = Shop(), Steered()
        step = StepStore(self.root, "keep", self.threads)
        if self.committed is None:
            self.bucket = step.begin("0", self.shop.parts())
        else:
            self.bucket = step.resume(self.committed[0], self.shop.parts())
            assert self.shop.state() == self.committed[1]

    def save(self) -> None:
        """Take a snapshot; the engine has committed the one before."""
        self.commit()
        self.saved = (self.bucket.save(), self.shop.state())

    def commit(self) -> None:
        if self.saved is not None:
            self.committed, self.saved = (pickle.loads(pickle.dumps(self.saved[0])), self.saved[1]), None

    def crash(self, random: Random, *, power: bool, spoil: bool) -> None:
        """Die. Without power, what was not synced for a committed token may be lost, in any part."""
        self.saved = None
        token = None if self.committed is None else self.committed[0]
        kept = {} if token is None else dict((*token["bases"], *token["logs"]))
        folder = self.root / "keep" / "0"
        if power:
            for file in files_in(folder):
                self._lose(folder / str(file), kept.get(str(file), 0), random)
        if spoil and token is not None and len(token["bases"]) == 2:
            newest = folder / token["bases"][0][0]
            data = bytearray(newest.read_bytes())
            data[random.randrange(len(data))] ^= 1 + random.randrange(255)
            newest.write_bytes(data)
        self.start()

    def _lose(self, path: Path, kept: int, random: Random) -> None:
        data = path.read_bytes()
        if not kept and random.random() < 0.3:
            path.unlink()
            return
        length = random.randint(kept, max(kept, len(data)))
        path.write_bytes(data[:length] + random.randbytes(random.choice([0, len(data) - length])))


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 30), st.integers(-9, 9)),
        st.tuples(st.just("save"), st.integers(1, 6)),
        st.tuples(st.just("go"), st.integers(1, 3)),
        st.tuples(st.just("commit")),
        st.tuples(st.just("crash"), st.booleans(), st.booleans()),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(OPS, st.integers(0, 2**32))
def test_a_resumed_bucket_equals_the_state_at_its_token(ops: list[tuple[Any, ...]], seed: int) -> None:
    random = Random(seed)
    with TemporaryDirectory() as folder, patch.object(store, "SMALLEST_BASE", SMALLEST):
        run = Run(Path(folder))
        for name, *given_ in ops:
            if name == "put":
                run.shop.put(*given_)
            elif name == "save":
                for number in range(given_[0]):
                    run.shop.put(random.randrange(30), number)
                    run.save()
            elif name == "go":
                for _ in range(given_[0]):
                    run.threads.go()
            elif name == "commit":
                run.commit()
            else:
                run.crash(random, power=given_[0], spoil=given_[1])
        run.save()
        run.commit()
        run.crash(random, power=True, spoil=False)


def test_the_law_covers_bases_and_fallbacks(tmp_path: Path) -> None:
    """What the law draws at random is reached at all: two bases, a damaged one, deletions, many runs."""
    random = Random(7)
    with patch.object(store, "SMALLEST_BASE", SMALLEST):
        run = Run(tmp_path)
        for number in range(300):
            run.shop.put(number % 7, number)
            run.save()
            run.threads.go()
            if number % 37 == 36:
                run.crash(random, power=True, spoil=True)
        assert run.committed is not None
        assert [bool(base[0]) for base in run.committed[0]["bases"]] == [True, True]
        assert len(list((tmp_path / "keep" / "0").iterdir())) < 20
