"""Hashes are what people read: text in fixed formats, nothing where nothing is known."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hashes import FakeConnection, Server
from support.rows import fill
from support.scored import random_scored

from contracts.blocks import Departures, Pointers
from contracts.model_blocks import OutcomeScores, ScoredBlock
from contracts.outputs import HashBlock
from contracts.stored import profile_key, score_key, top_key
from sinks.redis_pipe import Pipe
from sinks.resp import commands_of
from streams.profiles.rows import NEVER, NOT_YET, blank_rows
from streams.profiles.segments import ACTIVE, AT_RISK, LAPSED
from streams.publish.hashes import hash_blocks
from streams.publish.resp import money_text

NAN = float("nan")
OUTCOMES = ("churn", "opportunity")


def three(probability: list[float], percentile: list[float], **changes: Any) -> ScoredBlock:
    """Customers a, b and c with given scores of one outcome and no reasons."""
    block = random_scored(1, "abc", leaving=np.zeros(3, bool), lifecycle=np.full(3, ACTIVE, np.int8), **changes)
    scores = OutcomeScores(np.array(probability), np.array(percentile, np.float32), np.full((3, 3), -1),
                           np.zeros((1, 20)), np.zeros(3, np.int32))  # fmt: skip
    return replace(block, scores={"churn": scores}, model_versions=["m"], model_of=np.zeros(3, np.int32))


def blocks_of(item: ScoredBlock | Departures | Pointers, currency: str | None = "EUR") -> list[HashBlock]:
    return hash_blocks(item, OUTCOMES, currency, 60)


def fields(block: HashBlock) -> dict[str, dict[str, str]]:
    """By id, as a reader finds them."""
    writes = block.texts()
    rows = zip(*writes.columns.values(), strict=True)
    return {
        one: {name: value for name, value in zip(writes.columns, row, strict=True) if value is not None}
        for one, row in zip(writes.ids, rows, strict=True)
    }


def stored(blocks: list[HashBlock], arrow: bool) -> Server:
    """What a server holds after the commands of some blocks."""
    server = Server()
    pipe = Pipe(None)  # type: ignore[arg-type]
    pipe._connection = FakeConnection(server)
    for block in blocks:
        pipe.send(block.commands() if arrow else commands_of(block.texts()))
    return server


# Scores


def test_figures_have_fixed_digits_and_times_are_iso_8601() -> None:
    times = np.array([0, 86_399_999_999, 879_465_600_000_000])
    found = fields(blocks_of(three([0.333333, 0.0, 1.0], [97.25, 0, 100], as_of=times))[0])
    assert [found[one]["churn"] for one in "abc"] == ["0.333333", "0.000000", "1.000000"]
    assert [found[one]["churn_percentile"] for one in "abc"] == ["97.2", "0.0", "100.0"]
    assert [found[one]["as_of"] for one in "abc"] == [
        "1970-01-01T00:00:00Z", "1970-01-01T23:59:59Z", "1997-11-14T00:00:00Z",
    ]  # fmt: skip
    assert {found[one]["model_version"] for one in "abc"} == {"m"}


def test_a_question_that_is_not_asked_has_no_answer() -> None:
    scores, _ = blocks_of(three([0.5, NAN, 0.25], [50, NAN, 20]))
    assert not {name for name in fields(scores)["b"] if name.startswith("churn")}
    assert fields(scores)["a"]["churn_reasons"] == ""
    assert np.isnan(scores.texts().ranks["churn"]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "changes",
    [{"leaving": np.array([False, True, False])}, {"lifecycle": np.array([ACTIVE, LAPSED, AT_RISK], np.int8)}],
    ids=["dormant", "lapsed"],
)
def test_dormant_and_lapsed_customers_leave_the_ranks_and_keep_their_scores(changes: dict[str, Any]) -> None:
    block = three([0.1, 0.2, 0.3], [1, 2, 3])
    scores, _ = blocks_of(replace(block, people=replace(block.people, **changes)))
    assert np.isnan(scores.texts().ranks["churn"]).tolist() == [False, True, False]
    assert fields(scores)["b"]["churn"] == "0.200000"
    for arrow in (False, True):
        assert stored([scores], arrow).tops[top_key("churn")] == {"a": 0.1, "c": 0.3}


def test_visitors_expire_and_have_no_rank() -> None:
    for block in blocks_of(random_scored(1, ["anonymous:a", "anonymous:b"], table="devices")):
        server = stored([block], arrow=True)
        assert server.tops == {}
        assert set(server.expires.values()) == {60}
        assert len(server.expires) == 2


def test_a_sweep_writes_the_scores_that_moved_and_no_profiles() -> None:
    block = random_scored(1, "abc", kind="sweep", rows=None, notable=np.array([True, False, True]))
    (scores,) = blocks_of(block)
    assert (scores.ids.tolist(), scores.live, scores.order, scores.oldest) == (["a", "c"], False, "swept", 0)
    assert blocks_of(replace(block, notable=np.zeros(3, bool))) == []


def test_restated_customers_are_all_written_and_restated_visitors_if_they_moved() -> None:
    none = np.zeros(3, bool)
    assert [len(each.ids) for each in blocks_of(random_scored(1, "abc", kind="restated", notable=none))] == [3, 3]
    assert blocks_of(random_scored(1, "abc", kind="restated", table="devices", notable=none)) == []


def test_live_blocks_know_their_oldest_record() -> None:
    scores, profiles = blocks_of(random_scored(1, "abc", entered=np.array([0, 9, 7])))
    assert (scores.live, scores.oldest, profiles.oldest) == (True, 7, 0)


def test_fields_of_earlier_writes_go_where_the_stores_may_be_behind() -> None:
    for arrow in (False, True):
        for kind, stays in (("live", True), ("restated", False)):
            server, blocks = Server(), blocks_of(three([NAN] * 3, [NAN] * 3, kind=kind))
            server.hashes[score_key("a")] = {"churn": "0.5"}
            pipe = Pipe(None)  # type: ignore[arg-type]
            pipe._connection = FakeConnection(server)
            pipe.send(blocks[0].commands() if arrow else commands_of(blocks[0].texts()))
            assert ("churn" in server.hashes[score_key("a")]) is stays


# Profiles


def profile(**columns: int) -> dict[str, str]:
    rows = fill(blank_rows(1), **{"first_seen": 0, "last_seen": 0} | columns)
    block = random_scored(1, "a")
    return fields(blocks_of(replace(block, people=replace(block.people, rows=rows)))[1])["a"]


def test_a_profile_is_what_happened() -> None:
    times = {
        "first_seen": 3_600_000_000,
        "last_seen": 7_200_000_000,
        "first_order": 3_600_000_000,
        "last_order": 7_200_000_000,
    }
    found = profile(events=5, orders=2, items=3, refunds=1, web_events=2, sessions=1, product_views=1, carts=1,
                    revenue=1_123_456, refunded=50_000, **times)  # fmt: skip
    assert found == {
        "first_seen": "1970-01-01T01:00:00Z", "last_seen": "1970-01-01T02:00:00Z",
        "first_order": "1970-01-01T01:00:00Z", "last_order": "1970-01-01T02:00:00Z", "events": "5", "orders": "2",
        "items": "3", "refunds": "1", "web_events": "2", "sessions": "1", "product_views": "1", "carts": "1",
        "checkouts": "0", "tickets": "0", "revenue": "112.35", "refunded": "5.00", "currency": "EUR",
    }  # fmt: skip


def test_who_never_ordered_has_no_times_of_orders() -> None:
    assert not {"first_order", "last_order"} & set(profile(first_order=NOT_YET, last_order=NEVER))


def test_an_undecided_currency_is_absent() -> None:
    assert "currency" not in fields(blocks_of(random_scored(1, "a"), None)[1])["a"]


@given(st.integers(-(10**15), 10**15))
def test_money_has_two_digits(amount: int) -> None:
    text = money_text(amount)
    assert re.fullmatch(r"-?\d+\.\d\d", text)
    assert abs(int(text.replace(".", "")) * 100 - amount) <= 50


# Departures


@pytest.mark.parametrize("persons", [["c-1", ""], ["", ""], ["c-1", "c-2"]])
@pytest.mark.parametrize("arrow", [False, True])
def test_a_pointer_or_nothing_is_left_of_those_who_are_visitors_no_more(arrow: bool, persons: list[str]) -> None:
    ids = ["anonymous:a", "anonymous:b"]
    left = Departures(0, np.array(ids, object), np.array(persons, object), np.array([9, 9]), False)
    found = stored([*blocks_of(random_scored(1, ids, table="devices")), *blocks_of(left)], arrow)
    assert found.hashes == {
        key(name): {"version": "9", "merged_into": person}
        for name, person in zip(ids, persons, strict=True) if person for key in (score_key, profile_key)
    }  # fmt: skip


@pytest.mark.parametrize("arrow", [False, True])
def test_the_pointer_of_a_device_that_is_seen_expires_later_and_none_is_made(arrow: bool) -> None:
    ids = np.array(["anonymous:a", "anonymous:b"], object)
    left = Departures(0, ids[:1], np.array(["c-1"], object), np.array([9]), False)
    blocks = [*blocks_of(left), *blocks_of(Pointers(0, ids, np.array([9, 9])))]
    found = stored(blocks, arrow)
    assert found.hashes == stored(blocks_of(left), arrow).hashes
    assert len(found.commands) == len(stored(blocks_of(left), arrow).commands) + 4


# Both renderers


@given(
    seed=st.integers(0, 10_000),
    ids=st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=1, max_size=8, unique=True
    ),
    kind=st.sampled_from(["live", "restated"]),
    table=st.sampled_from(["customers", "devices"]),
    currency=st.sampled_from([None, "EUR"]),
    cut=st.integers(0, 8),
)
def test_arrow_and_python_write_the_same(
    seed: int, ids: list[str], kind: Any, table: Any, currency: str | None, cut: int
) -> None:
    """Whole, and of parts that were cut and joined again."""
    blocks = blocks_of(random_scored(seed, ids, kind=kind, table=table), currency)
    assert stored(blocks, arrow=True) == replace(
        stored(blocks, arrow=False), commands=stored(blocks, arrow=True).commands
    )
    at = min(cut, len(ids))
    joined = [each.take(np.arange(at)).join([each.take(np.arange(at, len(ids)))]) for each in blocks]
    assert stored(joined, arrow=True).hashes == stored(blocks, arrow=True).hashes
    assert stored(joined, arrow=False).tops == stored(blocks, arrow=False).tops


def test_the_largest_values_are_written_too() -> None:
    block = random_scored(1, ["x" * 5_000, "b"])
    rows = block.people.rows
    assert rows is not None
    rows["events"], rows["revenue"], rows["refunded"] = 2**31 - 1, 2**62, -5
    blocks = blocks_of(replace(block, people=replace(block.people, versions=np.array([0, 2**53 - 1]))))
    assert stored(blocks, arrow=True).hashes == stored(blocks, arrow=False).hashes


def test_people_who_leave_during_a_catch_up_come_with_their_profiles() -> None:
    scores, profiles = blocks_of(random_scored(1, "ab", kind="sweep", leaving=np.ones(2, bool)))
    assert (scores.live, scores.order, profiles.ids.tolist()) == (False, "swept", ["a", "b"])
    assert scores.texts().clear == profiles.texts().clear == [True, True]
