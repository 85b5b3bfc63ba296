"""The Redis writer's own part, on a server that only remembers: order, coalescing, resending, refusals."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st
from support.hashes import FakeClient, Server, Texts, block

from contracts.errors import StoreRefusedError
from contracts.metrics import HASHES_WRITTEN, LATENCY, STORE_RETRIES
from contracts.outputs import Commands
from contracts.stored import profile_key, score_key, top_key
from sinks.coalesce import Newest
from sinks.redis import RedisWriter, check
from sinks.redis_pipe import Pipe, redis_is_out
from sinks.resp import ABSENT, CHUNK_CUSTOMERS, script_arguments
from sinks.retries import Retrying

TOP = top_key("churn")


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def writer(server: Server) -> Iterator[RedisWriter]:
    made = writer_to(server)
    yield made
    made.close()


def writer_to(server: Server, **options: Any) -> RedisWriter:
    made = RedisWriter(FakeClient(server), gather_seconds=0, **options)  # type: ignore[arg-type]
    made._retrying = Retrying("Redis", redis_is_out, lambda _: made._closed.is_set())
    return made


def held(server: Server) -> tuple[threading.Event, threading.Event]:
    """Make the server stop before its first command: an event that it has come to it, and one that lets it go on."""
    reached, go_on = threading.Event(), threading.Event()

    def fails(_: tuple[str, ...]) -> str:
        reached.set()
        assert go_on.wait(20)
        return ""

    server.fails = fails
    return reached, go_on


# What is written


def test_hashes_ranks_and_expiry(writer: RedisWriter, server: Server) -> None:
    fields: dict[str, str | None] = {"risk": "0.5", "reason": None}
    writer.write([block(["c-1"], 7, fields=fields), block(["v"], 3, float("nan"), fields=fields, expires=60)])
    writer.flush()
    assert server.hashes == {
        score_key("c-1"): {"version": "7", "risk": "0.5"},
        score_key("v"): {"version": "3", "risk": "0.5"},
    }
    assert server.tops == {TOP: {"c-1": 0.5}}
    assert server.expires == {score_key("v"): 60}
    assert ("HDEL", score_key("c-1"), "reason") in server.commands


def test_fields_of_none_stay_where_nothing_is_to_be_cleared(writer: RedisWriter, server: Server) -> None:
    writer.write([block(["c-1"], 7, fields={"reason": None}, clear=False)])
    writer.flush()
    assert [command[0] for command in server.commands] == ["HSET", "ZADD"]


def test_all_fields_of_a_hash_are_in_one_command(writer: RedisWriter, server: Server) -> None:
    writer.write([block(["c-1"], 7, fields={"a": "1", "b": "2", "c": "3"})])
    writer.flush()
    assert [command for command in server.commands if command[0] == "HSET"] == [
        ("HSET", score_key("c-1"), "version", "7", "a", "1", "b", "2", "c", "3")
    ]


def test_a_hash_is_removed(writer: RedisWriter, server: Server) -> None:
    writer.write([block(["v"], 1, float("nan"))])
    writer.flush()
    writer.write([block(["v"], 2, float("nan"), expires=-1)])
    writer.flush()
    assert server.hashes == {}


def test_guarded_blocks_lose_against_a_newer_hash(writer: RedisWriter, server: Server) -> None:
    server.hashes[score_key("c-1")] = {"version": "9", "risk": "new"}
    writer.write([block(["c-1", "c-2"], 8, guarded=True), block(["c-3"], 8)])
    writer.flush()
    assert server.hashes[score_key("c-1")] == {"version": "9", "risk": "new"}
    assert {key for key in server.hashes if server.hashes[key]["version"] == "8"} == {
        score_key("c-2"),
        score_key("c-3"),
    }
    assert [command[0] for command in server.commands] == ["SCRIPT", "EVALSHA", "HSET", "ZADD"]


def test_an_empty_block_and_an_empty_flush_are_nothing(writer: RedisWriter, server: Server) -> None:
    writer.flush()
    writer.write([block([], 1)])
    writer.flush()
    assert server.commands == []


def test_what_is_handed_over_is_split_into_blocks(server: Server) -> None:
    writer = writer_to(server, split=lambda name: [block([name], 1), block([name], 1, prefix="crm:profile")])
    writer.write(["c-1", "c-2"])
    writer.flush()
    assert set(server.hashes) == {key(name) for key in (score_key, profile_key) for name in ("c-1", "c-2")}
    writer.close()


# Coalescing and order


def test_only_the_newest_of_what_waits_is_sent(writer: RedisWriter, server: Server) -> None:
    reached, go_on = held(server)
    writer.write([block(["first"], 1)])
    assert reached.wait(20)
    writer.write([block(["c-1", "c-2"], 1, 0.1), block(["c-1"], 3, 0.3), block(["c-1"], 2, 0.2)])
    go_on.set()
    writer.flush()
    assert [command[1] for command in server.commands if command[0] == "HSET"] == [
        score_key(name) for name in ("first", "c-2", "c-1")
    ]
    assert server.tops[TOP] == {"first": 0.5, "c-2": 0.1, "c-1": 0.3}


def test_live_people_come_before_others(writer: RedisWriter, server: Server) -> None:
    reached, go_on = held(server)
    swept = [f"s{i}" for i in range(2_000)]
    writer.write([block(some, 1, live=False, order="swept") for some in (swept[:600], swept[600:])])
    assert reached.wait(20)
    writer.write([block(["live"], 1), block(["s1999"], 2, 0.9)])
    go_on.set()
    writer.flush()
    written = [command[1] for command in server.commands if command[0] == "HSET"]
    assert written.index(score_key("live")) == 1_024
    assert len(written) == 2_001
    assert server.hashes[score_key("s1999")]["version"] == "2"


def test_an_older_live_row_is_not_written_after_a_newer_swept_one(writer: RedisWriter, server: Server) -> None:
    reached, go_on = held(server)
    writer.write([block(["first"], 1)])
    assert reached.wait(20)
    writer.write([block(["c"], 5, 0.1), block(["c"], 6, 0.6, live=False, order="swept")])
    go_on.set()
    writer.flush()
    assert server.hashes[score_key("c")] == {"version": "6", "risk": "0.6"}


def test_others_have_their_turn_in_a_steady_stream_of_live_people_and_a_flush_does_not_wait_for_newer_ones(
    writer: RedisWriter, server: Server
) -> None:
    """Each command is answered only after another live person was handed over, as by another worker."""
    reached, go_on = held(server)
    writer.write([block(["first"], 1)])
    assert reached.wait(20)
    numbers = itertools.count()

    def fails(command: tuple[str, ...]) -> str:
        if command[0] == "HSET":
            writer.write([block([f"live-{next(numbers)}"], 1)])
        return ""

    server.fails = fails
    writer.write([block([f"s{i}" for i in range(6_000)], 1, live=False, order="swept")])
    go_on.set()
    writer.flush()
    assert sum(key.startswith(score_key("s")[:-1]) for key in server.hashes) == 6_000
    assert writer.waiting > 0
    server.fails = lambda _: ""


@pytest.mark.parametrize("order", ["newest", "swept"])
def test_what_comes_late_by_another_way_moves_nobody_back(order: Any, writer: RedisWriter, server: Server) -> None:
    writer.write([block(["v"], 9, fields={"merged_into": "c"})])
    writer.flush()
    writer.write([block(["v"], 8, order=order)])
    writer.flush()
    assert server.hashes[score_key("v")] == {"version": "9", "merged_into": "c"}


def test_what_waited_while_its_id_was_removed_brings_nothing_back(writer: RedisWriter, server: Server) -> None:
    reached, go_on = held(server)
    writer.write([block([f"s{i}" for i in range(600)], 1, live=False)])
    assert reached.wait(20)
    writer.write([block(["v", "w"], 9, live=False), block(["v"], 10, float("nan"), expires=-1)])
    go_on.set()
    writer.flush()
    assert score_key("v") not in server.hashes
    assert score_key("w") in server.hashes


def test_a_removed_id_may_begin_anew_and_is_then_not_removed_by_what_comes_late(
    writer: RedisWriter, server: Server
) -> None:
    removal = block(["v"], 10, float("nan"), expires=-1)
    for each in (block(["v"], 9), removal, block(["v"], 11, 0.3), removal):
        writer.write([each])
        writer.flush()
    assert server.hashes[score_key("v")] == {"version": "11", "risk": "0.3"}


@pytest.mark.parametrize("others", [[], [block(["w"], 1)]])
def test_a_removal_that_waits_with_a_newer_write_is_not_left_out(
    others: list[Texts], writer: RedisWriter, server: Server
) -> None:
    """The newer write does not name the fields of the hash that is to be removed."""
    writer.write([block(["v"], 8, fields={"merged_into": "c"}, clear=False)])
    writer.flush()
    reached, go_on = held(server)
    writer.write([block(["first"], 1)])
    assert reached.wait(20)
    removal = block(["v"], 9, float("nan"), expires=-1, order="reset")
    writer.write([*others, block(["v"], 7), removal, block(["v"], 10, 0.5, clear=False)])
    go_on.set()
    writer.flush()
    assert server.hashes[score_key("v")] == {"version": "10", "risk": "0.5"}


def test_a_removal_that_comes_after_a_newer_write_is_dropped(writer: RedisWriter, server: Server) -> None:
    reached, go_on = held(server)
    writer.write([block(["first"], 1)])
    assert reached.wait(20)
    writer.write([block(["v"], 10), block(["v"], 9, float("nan"), expires=-1, order="reset")])
    go_on.set()
    writer.flush()
    assert server.hashes[score_key("v")]["version"] == "10"
    assert not any(command[0] == "DEL" for command in server.commands)


def test_a_newer_write_is_known_as_long_as_an_older_one_waits(server: Server) -> None:
    """However many others are written in between: here more than are remembered otherwise."""
    writer = writer_to(server)
    writer._newest = Newest(remembered=100)
    reached, go_on = held(server)
    others = [block([f"s{start + i}" for i in range(200)], 1, live=False) for start in range(0, 2_000, 200)]
    writer.write([*others, block(["v"], 8, live=False)])
    assert reached.wait(20)
    writer.write([block(["v"], 9, fields={"merged_into": "c"})])
    go_on.set()
    writer.flush()
    assert server.hashes[score_key("v")] == {"version": "9", "merged_into": "c"}
    writer.close()


def test_of_equal_versions_the_last_one_counts(writer: RedisWriter, server: Server) -> None:
    writer.write([block(["c"], 5, fields={"revenue": "0"}), block(["c"], 5, fields={"revenue": "12"})])
    writer.flush()
    assert server.hashes[score_key("c")]["revenue"] == "12"


def test_old_ids_are_forgotten_and_new_ones_known() -> None:
    newest = Newest(remembered=10)
    for start in range(0, 100, 10):
        newest.reduce([(block([f"c{i}" for i in range(start, start + 11)], 5),)])
        newest.age(start, start + 1, now=0.0)
    assert len(newest) <= 33
    assert newest.reduce([(block(["c99"], 4),)]) == []
    assert len(newest.reduce([(block(["c0"], 4),)])) == 1


def test_ids_are_forgotten_after_a_while_unless_a_block_waits() -> None:
    newest = Newest(seconds=60)
    newest.age(0, 1, now=1_000.0)
    newest.reduce([(block(["a", "b", "c"], 5),)])
    newest.age(7, 8, now=1_059.0)
    newest.age(7, 8, now=1_061.0)
    newest.age(9, 7, now=1_200.0)
    assert newest.reduce([(block(["a"], 4),)]) == [], "a block of before the younger generation waits"
    newest.age(9, 10, now=1_201.0)
    assert newest.reduce([(block(["a"], 4),)]) == [], "it was noted once more"
    assert len(newest.reduce([(block(["b"], 4),)])) == 1


_WRITES = st.lists(
    st.tuples(
        st.sampled_from([("newest", True), ("newest", False), ("swept", False)]),
        st.dictionaries(st.integers(0, 6), st.integers(0, 4), min_size=1),
    ),
    max_size=8,
)


@given(st.lists(_WRITES, max_size=6))
def test_rows_that_are_superseded_are_dropped_and_no_others(turns: list[Any]) -> None:
    newest, known, arrival = Newest(), dict[str, tuple[int, int]](), 0
    for turn in turns:
        stamps: list[dict[str, tuple[int, int]]] = []
        for (order, _), rows in turn:
            arrival += 1
            stamps.append({f"c{number}": (version, arrival) for number, version in rows.items()})
            if order == "newest":
                for name, stamp in stamps[-1].items():
                    known[name] = max(known.get(name, stamp), stamp)
        named = [(kind, {f"c{number}": version for number, version in rows.items()}) for kind, rows in turn]
        outputs = [
            (replace(block(list(rows), 0, live=live, order=order), versions=np.array([*rows.values()])),)
            for (order, live), rows in named
        ]
        expected = [[name for name, stamp in each.items() if stamp >= known.get(name, stamp)] for each in stamps]
        found = [each.ids.tolist() for (each,) in newest.reduce(outputs)]
        assert found == [each for each in expected if each]


# Outages, refusals, bounds


@pytest.mark.parametrize("failure", ["before", "after", "LOADING wait", "NOSCRIPT gone", "OOM full"])
@pytest.mark.parametrize("guarded", [False, True])
def test_an_outage_is_waited_out(failure: str, guarded: bool, writer: RedisWriter, server: Server) -> None:
    failures = iter([failure, failure])
    server.fails = lambda _: next(failures, "")
    before = STORE_RETRIES.labels("Redis")._value.get()
    writer.write([block([f"c{i}" for i in range(600)], 2, guarded=guarded)])
    writer.flush()
    assert STORE_RETRIES.labels("Redis")._value.get() in (before + 1, before + 2)  # one pipeline may bring both
    assert len(server.hashes) == len(server.tops[TOP]) == 600


def test_a_refusal_is_raised_by_flush_and_ever_after(writer: RedisWriter, server: Server) -> None:
    server.fails = lambda words: "WRONGTYPE no 'secret'" if words[0] == "HSET" else ""
    writer.write([block(["c-1"], 1)])
    with pytest.raises(StoreRefusedError, match=r"Redis refused crm:score hashes: WRONGTYPE no '\.\.\.'"):
        writer.flush()
    with pytest.raises(StoreRefusedError, match="WRONGTYPE"):
        writer.write([block(["c-1"], 1)])


def test_the_caller_waits_when_too_much_is_unanswered(server: Server) -> None:
    writer = writer_to(server, max_waiting_hashes=2)
    reached, go_on = held(server)
    writer.write([block(["a", "b"], 1)])
    assert reached.wait(20)
    blocked = threading.Thread(target=writer.write, args=([block(["c"], 1)],))
    blocked.start()
    blocked.join(0.2)
    assert blocked.is_alive()
    go_on.set()
    blocked.join(20)
    writer.flush()
    assert len(server.hashes) == 3
    writer.close()


def test_an_unforeseen_error_does_not_hang_the_caller(writer: RedisWriter) -> None:
    broken = block(["c-1"], 1)
    broken.columns["risk"].append("too many")
    writer.write([broken])
    with pytest.raises(StoreRefusedError, match="writing to Redis failed: ValueError"):
        writer.flush()


def test_close_ends_an_endless_retry(server: Server) -> None:
    writer = RedisWriter(FakeClient(server))  # type: ignore[arg-type]
    server.fails = lambda _: "before"
    writer.write([block(["c-1"], 1)])
    time.sleep(0.05)
    writer.close()
    with pytest.raises(StoreRefusedError):
        writer.flush()


def test_latency_is_that_of_the_oldest_record_of_each_live_block(server: Server) -> None:
    writer = writer_to(server, clock=lambda: 100.0)
    before, count = LATENCY._sum.get(), HASHES_WRITTEN.labels("crm:score")._value.get()
    writer.write([block(["c-1"], 1, oldest=99_500), block(["c-1"], 2, oldest=99_000), block(["c-2"], 1)])
    writer.flush()
    assert LATENCY._sum.get() - before == pytest.approx(1.5)
    assert 2 <= HASHES_WRITTEN.labels("crm:score")._value.get() - count <= 3
    writer.close()


# Answers


class _Connection:
    """Gives the answers to each send in pieces of some sizes."""

    def __init__(self, answers: Sequence[bytes], sizes: Iterator[int]):
        self._sock: Any = self
        self._answers, self._sizes = iter(answers), sizes
        self._there = b""
        self.is_open = True

    def send_packed_command(self, _: Any, *, check_health: bool) -> None:
        assert not check_health
        self._there += next(self._answers)

    def recv(self, most: int) -> bytes:
        size = min(most, next(self._sizes))
        piece, self._there = self._there[:size], self._there[size:]
        return piece

    def disconnect(self) -> None:
        self.is_open = False


class _Pool:
    """Stands in for a client and its pool, with one connection."""

    def __init__(self, connection: _Connection):
        self.connection_pool, self._connection = self, connection

    def get_connection(self) -> _Connection:
        return self._connection

    def release(self, _: _Connection) -> None:
        """Nothing to do."""


ANSWERS = st.lists(st.sampled_from([b":1\r\n", b":0\r\n", b":123456\r\n", b"+OK\r\n"]), min_size=1, max_size=12)
PUSH = b">2\r\n$3\r\nabc\r\n:7\r\n"


@given(
    st.lists(ANSWERS, min_size=1, max_size=4),
    st.lists(st.integers(1, 9), min_size=1, max_size=20),
    st.sets(st.integers(0, 30)),
)
def test_answers_are_counted_in_whatever_pieces_they_come(
    sends: list[list[bytes]], sizes: list[int], pushed: set[int]
) -> None:
    """Also between messages that the server sends of its own accord. The last answer but one is a refusal."""
    numbers = itertools.count()
    data = [b"".join(each + PUSH * (next(numbers) in pushed) for each in answers) for answers in sends]
    connection = _Connection([*data, b"-WRONGTYPE no\r\n:1\r\n"], itertools.cycle(sizes))
    pipe = Pipe(_Pool(connection))  # type: ignore[arg-type]
    for answers in sends:
        pipe.send(Commands([], len(answers)))
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        pipe.send(Commands([], 2))
    assert not connection.is_open


def test_more_answers_than_commands_end_the_connection() -> None:
    connection = _Connection([b":1\r\n:1\r\n"], itertools.repeat(99))
    with pytest.raises(redis.ConnectionError, match="more answers"):
        Pipe(_Pool(connection)).send(Commands([], 1))  # type: ignore[arg-type]
    assert not connection.is_open


# The law


class Failing:
    """Fails at some of the commands, each once."""

    def __init__(self, at: dict[int, str]):
        self._at, self._count = at, itertools.count()

    def __call__(self, _: tuple[str, ...]) -> str:
        return self._at.get(next(self._count), "")


@st.composite
def histories(draw: st.DrawFn) -> list[Texts]:
    """Scores of few ids in the order of one log, with versions that grow; some are guarded."""
    ids, version = ["a", "b", "c", "d"], itertools.count(1)
    made = []
    for _ in range(draw(st.integers(1, 12))):
        some = draw(st.lists(st.sampled_from(ids), min_size=1, max_size=4, unique=True))
        kind = draw(st.sampled_from(["live", "live", "guarded", "merged"]))
        number = next(version)
        fields: dict[str, str | None] = {
            "risk": str(number),
            "reason": draw(st.sampled_from([None, "x"])),
            "merged_into": None,
        }
        if kind == "merged":
            fields = {"risk": None, "reason": None, "merged_into": "p"}
        risk = float("nan") if kind == "merged" else number / 100
        made.append(block(some, number, risk, fields=fields, guarded=kind == "guarded"))
    return made


def with_profiles(scores: Texts) -> list[Texts]:
    """Both kinds of hashes of some ids, as the dataflow's outputs have them."""
    return [scores, replace(scores, prefix="crm:profile", columns={"events": [*scores.versions.astype(str)]})]


@settings(deadline=None, max_examples=150)
@given(
    blocks=histories(),
    failures=st.dictionaries(st.integers(0, 25), st.sampled_from(["before", "after", "LOADING wait"]), max_size=4),
    cuts=st.sets(st.integers(1, 11)),
    few=st.booleans(),
)
def test_resending_and_coalescing_leave_what_writing_in_order_leaves(
    blocks: Sequence[Texts], failures: dict[int, str], cuts: set[int], few: bool
) -> None:
    """Whatever fails and wherever, Redis holds what it would hold if every block had been written alone."""
    one_by_one, failing = Server(), Server(Failing(failures))
    for server, bounds in ((one_by_one, set(range(len(blocks)))), (failing, cuts)):
        writer = writer_to(server, split=with_profiles)
        for number, each in enumerate(blocks):
            writer.write([each])
            if number in bounds and not few:
                writer.flush()
        writer.flush()
        writer.close()
    assert failing.hashes == one_by_one.hashes
    assert failing.tops.get(TOP, {}) == one_by_one.tops.get(TOP, {})
    assert failing.hashes == in_order([each for some in blocks for each in with_profiles(some)])


def in_order(blocks: Sequence[Texts]) -> dict[str, dict[str, str]]:
    """What a plain loop leaves in hashes."""
    hashes: dict[str, dict[str, str]] = {}
    for each in blocks:
        for row, customer in enumerate(each.ids.tolist()):
            values = {name: column[row] for name, column in each.columns.items()}
            values["version"] = str(each.versions[row])
            hashes[f"{each.prefix}:{{{customer}}}"] = {
                name: value for name, value in values.items() if value is not None
            }
    return hashes


# The script's arguments, checks, errors


def test_arguments_are_keys_shape_and_columns() -> None:
    writes = block(["c0", "c1"], 4, fields={"a": "x", "b": None}, expires=9).texts()
    assert list(script_arguments(writes)) == [
        [3, "crm:score:{c0}", "crm:score:{c1}", "crm:top:churn", 2, 1, 12, "version", "a", "b",
         4, 4, 9, 9, "x", "x", ABSENT, ABSENT, 0.5, 0.5]
    ]  # fmt: skip


def test_large_blocks_are_cut_into_chunks() -> None:
    chunks = list(script_arguments(block([f"c{i}" for i in range(2 * CHUNK_CUSTOMERS + 1)], 1).texts()))
    assert [chunk[0] - 1 for chunk in chunks] == [CHUNK_CUSTOMERS, CHUNK_CUSTOMERS, 1]


@pytest.mark.parametrize("version", [-1, 2**53])
def test_versions_out_of_range_are_refused(version: int) -> None:
    with pytest.raises(ValueError, match="versions must lie between 0 and 2\\^53"):
        check((block(["c"], version),))


def test_parts_that_do_not_fit_together_are_refused() -> None:
    whole = block(["c"], 1)
    broken: Callable[..., Texts] = Texts
    with pytest.raises(ValueError, match="2 versions for 1 hashes"):
        check((broken(whole.ids, np.array([1, 2]), whole.columns, whole.risk),))
    with pytest.raises(ValueError, match="crm:profile: 2 ids, but 1 of crm:score"):
        check((whole, block(["c", "d"], 1, prefix="crm:profile")))
    with pytest.raises(ValueError, match="crm:profile: it is not ordered, live or guarded as crm:score"):
        check((whole, block(["c"], 1, prefix="crm:profile", live=False)))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (redis.ConnectionError("refused"), True),
        (redis.TimeoutError("slow"), True),
        (redis.BusyLoadingError("LOADING"), True),
        (redis.ReadOnlyError("READONLY"), True),
        (redis.ResponseError("MISCONF cannot write"), True),
        (redis.OutOfMemoryError("OOM command not allowed"), True),
        (TimeoutError(), True),
        (redis.AuthenticationError("WRONGPASS"), False),
        (redis.ResponseError("WRONGTYPE"), False),
        (ValueError("ours"), False),
    ],
)
def test_outages_are_told_from_refusals(error: Exception, passes: bool) -> None:
    assert redis_is_out(error) is passes
