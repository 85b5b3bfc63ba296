"""The score step: sweeps by the models of their boundaries, live people at once, every row alike in any company."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.model_blocks import POLICY, features_of, people, released, sample, some_buyers, sweep
from support.restarting import STEPS, Restarting
from support.state import frozen, thawed

from contracts.backlog import SweepBacklog
from contracts.blocks import Departures, PeopleBlock
from contracts.model_blocks import BoundaryModels, OutcomeScores, ScoredBlock
from online_models.outcome_model import forecast
from online_models.scoring import FEW, Input, Score
from online_models.trainer import Learn

FIRST_ORDERS = 0.02
"""The prior's chance of an order by somebody who has none."""
Floats = NDArray[np.float64]


def explain(
    features: NDArray[np.float32], means: Floats, slopes: Floats, of: NDArray[np.int32], asked: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Keys that depend on all of a row's inputs; as the real ones, they hold feature and direction in the last bits."""
    effects = (features - means[of]) * slopes[of]
    order = np.argsort(-np.abs(effects), axis=1, kind="stable")[:, :3]
    keys = order * 2 + (np.take_along_axis(effects, order, axis=1) > 0)
    return np.where(asked[:, None], keys, -1)


def models(*boundaries: int, customers: int = 3, examples: int = 30, visitors: int = 0) -> list[BoundaryModels]:
    """The messages for bucket 0, one for each boundary."""
    learn = Learn(replace(POLICY, buckets=1))
    if visitors:
        learn.take([sample(0, 0, visitors)])
    found = [learn.take([released(0, [boundary], examples, customers)]) for boundary in boundaries]
    return [each for outputs in found for each in outputs if isinstance(each, BoundaryModels)]


def explain_briefly(*compared: Any) -> NDArray[np.int8]:
    """The same, as features only."""
    keys: NDArray[np.int8] = explain(*compared).astype(np.int8)
    return keys


@pytest.fixture
def score() -> Score:
    return Score(POLICY, explain, explain_briefly)


def boundaries(blocks: Iterable[ScoredBlock]) -> list[list[int]]:
    return [block.people.boundaries.tolist() for block in blocks]


def bits(scores: OutcomeScores, at: int) -> tuple[object, ...]:
    usual = scores.usual[scores.usual_of[at]].tobytes()
    return (scores.probability[at], scores.percentile[at].tobytes(), scores.reasons[at].tolist(), usual)


def rows(blocks: Iterable[ScoredBlock]) -> dict[tuple[str, int], object]:
    """All scores by customer and version, with NaN as text."""
    return {
        (block.people.ids[at], int(block.people.versions[at])): (
            block.model_versions[block.model_of[at]], repr([bits(scores, at) for scores in block.scores.values()]),
        )
        for block in blocks for at in range(len(block.people))
    }  # fmt: skip


# Waiting


def test_a_sweep_waits_for_the_models_of_its_boundary(score: Score) -> None:
    first, second = models(1, 2)
    assert score.take([sweep(0, [1]), first, sweep(0, [2])])[0].people.boundaries.tolist() == [1] * 3
    assert score.take([]) == []
    assert boundaries(score.take([second])) == [[2] * 3]
    assert not score.state.waiting


def test_a_block_of_many_boundaries_waits_for_the_last(score: Score) -> None:
    first, second, third = models(1, 2, 3)
    block = sweep(0, [1, 2, 3])
    assert score.take([block, first, second]) == []
    (found,) = score.take([third])
    assert found.model_versions == [f"logistic-2@1970-01-0{day}T00" for day in (2, 3, 4)]
    assert found.model_of.tolist() == [0] * 3 + [1] * 3 + [2] * 3
    for at, message in enumerate((first, second, third)):
        part = slice(3 * at, 3 * at + 3)
        for name, scores in found.scores.items():
            expected = forecast(message.newest.outcomes[name], block.features[part], block.buyers[part])
            np.testing.assert_array_equal(scores.probability[part], expected)


def test_rows_that_wait_for_models_are_noted_also_after_a_restart() -> None:
    backlog = SweepBacklog()
    score = Score(POLICY, explain, explain_briefly, backlog)
    backlog.send(0, 9)
    first, second = models(1, 2)
    score.take([sweep(0, [1]), sweep(0, [1, 2]), first])
    assert backlog.rows(0) == 6
    other = SweepBacklog()
    score = thawed(Score(POLICY, explain, explain_briefly, other), frozen(score))
    assert score.resumed() == []
    assert other.rows(0) == 6
    score.take([second])
    assert other.rows(0) == 0


def test_models_wait_for_their_sweep(score: Score) -> None:
    """The sweep of boundary 1 comes after newer models, and is scored by its own."""
    first, second = models(1, 2)
    score.take([first, second])
    (found,) = score.take([sweep(0, [1])])
    assert found.model_versions == ["logistic-2@1970-01-02T00"]


def test_customers_who_leave_come_in_a_block_of_their_own_after_the_others(score: Score) -> None:
    """Their boundaries are among those of the block before."""
    messages = models(1, 2, 3)
    whole = score.take([*messages, sweep(0, [1, 2, 3])])
    (left,) = score.take([chosen(sweep(0, [1, 2, 3]), [1, 5])])
    assert left.people.boundaries.tolist() == [1, 2]
    assert rows([left]).items() <= rows(whole).items()


def test_a_sweep_in_slices_is_scored_by_the_models_of_its_boundary(score: Score) -> None:
    """Newer models and live people come in between; the next sweep ends it."""
    first, second = models(1, 2)
    whole = sweep(0, [1], 6)
    found = score.take([first, chosen(whole, [1, 3])])
    found += score.take([second, people(features_of(3, count=2), slot=2)])[1:]
    score = thawed(Score(POLICY, explain, explain_briefly), frozen(score))
    found += score.take([chosen(whole, [0, 2])])
    found += score.take([chosen(whole, [4, 5])])
    assert rows(found) == rows(Score(POLICY, explain, explain_briefly).take([first, whole]))
    score.take([sweep(0, [2])])
    assert list(score.state.models) == [2]


def test_models_are_forgotten_after_their_sweep(score: Score) -> None:
    for message in models(*range(6)):
        score.take([message, sweep(0, [message.newest.boundary])])
        assert len(score.state.models) <= 1


def test_models_of_boundaries_without_customers_do_not_pile_up(score: Score) -> None:
    for message in models(*range(6), customers=0):
        score.take([message])
    assert score.state.models == {}
    assert score.state.newest.boundary == 5


@pytest.mark.parametrize("block", [sweep(0, [4], count=0), people(features_of(1, count=0))])
def test_of_nobody_there_is_nothing_to_score(score: Score, block: PeopleBlock) -> None:
    assert score.take([*models(1), block]) == []
    assert not score.state.waiting


def test_a_sweep_without_population_is_an_error(score: Score) -> None:
    with pytest.raises(RuntimeError, match="no population"):
        score.take([*models(1, customers=0), sweep(0, [1])])


# Live


def test_live_people_are_scored_at_once_by_the_newest_models(score: Score) -> None:
    first, second = models(1, 2)
    live = people(features_of(3, count=5))
    before, after = (score.take([message, live])[0] for message in (first, second))
    assert (before.model_versions, after.model_versions) == (["logistic-2@1970-01-02T00"], ["logistic-2@1970-01-03T00"])
    expected = forecast(second.newest.outcomes["buys"], live.features, live.buyers)
    assert after.scores["buys"].probability.tolist() == expected.tolist() != before.scores["buys"].probability.tolist()


def test_models_that_come_in_the_same_activation_count(score: Score) -> None:
    (message,) = models(1)
    (found,) = score.take([people(features_of(3, count=2)), message])
    assert found.model_versions == [message.newest.version]


def test_live_people_overtake_sweeps(score: Score) -> None:
    (message,) = models(1)
    found = score.take([sweep(0, [1]), people(features_of(3, count=2), slot=1), message])
    assert [block.people.kind for block in found] == ["live", "sweep"]


def test_before_any_example_every_chance_is_even_and_the_prior_known(score: Score) -> None:
    (found,) = score.take([*models(0, examples=0, customers=0), people(features_of(3, count=6))])
    buyers, buys, churn = some_buyers(6), found.scores["buys"], found.scores["churn"]
    assert (set(buys.probability[buyers]), set(buys.probability[~buyers])) == ({0.5}, {FIRST_ORDERS})
    assert buys.percentile.tolist() == [50.0] * 6
    assert (set(churn.probability[buyers]), np.isnan(churn.probability[~buyers]).all()) == ({0.5}, True)
    assert np.isnan(churn.percentile).tolist() == (~buyers).tolist()
    assert found.model_versions == ["logistic-2@1970-01-01T00"]


def test_live_people_wait_while_models_are_older_than_those_of_the_boundary_before(score: Score) -> None:
    """A catch-up has just ended: people are many boundaries ahead of the models."""
    first, second, third = models(1, 4, 5)
    live = people(features_of(3, count=2), slot=5)
    assert score.take([live]) == []
    assert score.take([first, people(features_of(4, count=1), slot=3)]) == []
    found = score.take([second])
    assert [block.people.boundaries.tolist() for block in found] == [[5, 5], [3]]
    assert [block.model_versions for block in found] == [[second.newest.version]] * 2
    assert score.take([third]) == []


def test_live_people_who_waited_come_before_their_newer_selves(score: Score) -> None:
    first, second = models(3, 4)
    waiting, newer = (people(features_of(3, count=1), slot=5, events=events) for events in (1, 2))
    assert score.take([first, waiting]) == []
    assert [block.people.versions.tolist() for block in score.take([newer, second])] == [[5 << 32 | 1], [5 << 32 | 2]]
    assert score.state.seen["customers"].versions[0] == 5 << 32 | 2


def test_restated_people_wait_for_the_models_of_their_boundary(score: Score) -> None:
    """They come after the sweep of that boundary, whose scores they repeat."""
    first, second = models(4, 5)
    restated = people(features_of(3, count=2), kind="restated", slot=5)
    assert score.take([first, restated]) == []
    again = thawed(Score(POLICY, explain, explain_briefly), frozen(score))
    found = again.take([second, sweep(0, [5])])
    assert [block.people.kind for block in found] == ["sweep", "restated"]
    assert [block.model_versions for block in found] == [[second.newest.version]] * 2
    assert not again.state.others


def test_restated_people_come_before_the_sweeps_of_later_boundaries(score: Score) -> None:
    """The models of all boundaries arrive together; Redis keeps what is written last.

    Visitors wait in the same queue, and devices are ahead of customers.
    """
    fourth, fifth, visitors = (people(features_of(3, count=2), kind="restated", slot=slot) for slot in (4, 5, 6))
    visitors = replace(visitors, table="devices")
    waiting = [visitors, sweep(0, [2, 3]), sweep(0, [4]), fourth, sweep(0, [5]), fifth, sweep(0, [6])]
    assert score.take(waiting) == []
    found = score.take(models(2, 3, 4, 5, 6))
    assert [(block.people.kind, int(block.people.boundaries[-1])) for block in found] == [
        ("sweep", 3), ("sweep", 4), ("restated", 4), ("sweep", 5), ("restated", 5), ("sweep", 6), ("restated", 6),
    ]  # fmt: skip
    for one, other in itertools.pairwise(found):
        assert one.people.versions.max() <= other.people.versions.max()


def departures(*positions: int, slot: int) -> Departures:
    ids = np.array([f"p0-{position}" for position in positions], object)
    return Departures(0, ids, np.full(len(ids), "", object), np.full(len(ids), slot << 32 | 9), guarded=False)


def shown(found: Iterable[ScoredBlock]) -> list[tuple[str, str, bool]]:
    """Whom blocks show, whether live, and whether in Redis."""
    return sorted((name, each.people.kind, each.people.publish) for each in found for name in each.people.ids.tolist())


@pytest.mark.parametrize("restored", [False, True])
def test_visitors_who_depart_while_they_wait_do_not_reach_redis(score: Score, *, restored: bool) -> None:
    """Live ones reach ClickHouse nevertheless. Customers and newer rows of the same visitors stay."""
    (message,) = models(9)
    visitors = replace(people(features_of(3, count=3), kind="restated", slot=5), table="devices")
    live = replace(people(features_of(4, count=3), slot=5), table="addresses")
    newer = replace(people(features_of(5, count=1), slot=6), table="devices")
    customers = people(features_of(3, count=1), kind="restated", slot=5)
    assert score.take([visitors, live, customers]) == []
    if restored:
        score = thawed(Score(POLICY, explain, explain_briefly), frozen(score))
    assert score.take([departures(0, 2, slot=5), newer]) == []
    assert shown(score.take([message])) == [
        ("p0-0", "live", False), ("p0-0", "live", True), ("p0-0", "restated", True), ("p0-1", "live", True),
        ("p0-1", "restated", True), ("p0-2", "live", False),
    ]  # fmt: skip


def test_departed_live_visitors_are_scored_and_explained_as_if_they_had_stayed(score: Score) -> None:
    other, (message,) = Score(POLICY, explain, explain_briefly), models(9)
    live = replace(people(features_of(4, count=3), slot=5), table="devices")
    expected = rows(other.take([live, message]))
    assert score.take([live, departures(1, slot=5), departures(1, slot=6)]) == []
    assert rows(score.take([message])) == expected


def test_departures_leave_newer_rows(score: Score) -> None:
    (message,) = models(9)
    score.take([replace(people(features_of(3, count=2), kind="restated", slot=5), table="devices")])
    score.take([departures(0, 1, slot=4)])
    assert shown(score.take([message])) == [("p0-0", "restated", True), ("p0-1", "restated", True)]


# Percentiles


def share_below(scores: OutcomeScores) -> list[float]:
    asked = scores.probability[~np.isnan(scores.probability)]
    return [float((asked < each).mean() * 100) for each in asked]


def test_a_percentile_is_the_share_of_customers_asked_who_score_lower(score: Score) -> None:
    (found,) = score.take([*models(1, customers=41), sweep(0, [1], 41)])
    for scores in found.scores.values():
        places = scores.percentile[~np.isnan(scores.percentile)]
        assert places == pytest.approx(share_below(scores), abs=0.0501)
        assert places.min() == 0.0


def test_percentiles_of_many_are_read_off_quantiles(score: Score) -> None:
    (found,) = score.take([*models(1, customers=3_700), sweep(0, [1], 3_700)])
    assert found.scores["buys"].percentile == pytest.approx(share_below(found.scores["buys"]), abs=0.2)


def test_each_row_is_ranked_among_the_customers_of_its_boundary(score: Score) -> None:
    alone = Score(POLICY, explain, explain_briefly)
    messages = models(1, 2, customers=30)
    (stack,) = score.take([*messages, sweep(0, [1, 2], 30)])
    single = [alone.take([message, sweep(0, [message.newest.boundary], 30)])[0] for message in messages]
    assert rows([stack]) == rows(single)


def test_visitors_are_ranked_among_visitors(score: Score) -> None:
    (message,) = models(1, visitors=40)
    visitors = people(features_of(0, 0, 5, count=40), table="devices", buyers=np.zeros(40, np.bool_))
    (found,) = score.take([message, visitors])
    assert found.scores["buys"].percentile == pytest.approx(share_below(found.scores["buys"]), abs=0.0501)
    assert np.isnan(found.scores["churn"].probability).all()
    assert (found.scores["churn"].reasons == -1).all()


def test_where_no_visitor_is_known_there_is_no_rank(score: Score) -> None:
    visitors = people(features_of(3, count=4), table="addresses", buyers=np.zeros(4, np.bool_))
    (found,) = score.take([*models(1), visitors])
    assert np.isnan(found.scores["buys"].percentile).all()


# Reasons


@pytest.mark.parametrize(("count", "expected"), [(4, [8, 6, 6]), (FEW + 1, [FEW + 1] * 2 + [3 * FEW // 2] * 2)])
def test_reasons_of_few_people_by_one_model_are_asked_once_else_per_outcome(count: int, expected: list[int]) -> None:
    calls: list[int] = []

    def counting(features: NDArray[np.float32], *rest: NDArray[np.generic]) -> NDArray[np.int64]:
        calls.append(len(features))
        return np.full((len(features), 3), -1)

    score = Score(POLICY, counting, counting)
    swept = 3 if count < FEW else 3 * FEW // 4
    score.take([*models(1, 2, customers=swept), sweep(0, [1, 2], swept), people(features_of(3, count=count))])
    assert calls == expected


def test_a_row_is_compared_with_what_is_usual_for_its_kind(score: Score) -> None:
    first, second = models(1, 2)
    (found,) = score.take([first, second, sweep(0, [1, 2], 4)])
    scores = found.scores["buys"]
    for at in range(8):
        lines = (first, second)[at // 4].newest.outcomes["buys"]
        kind = 0 if found.people.buyers[at] else 1
        assert scores.usual[scores.usual_of[at]].tolist() == lines.means[kind].tolist()
        (expected,) = explain(
            found.people.features[at : at + 1],
            lines.means,
            lines.slopes,
            np.array([kind], np.int32),
            np.ones(1, np.bool_),
        )
        assert scores.reasons[at].tolist() == expected.tolist()


def test_a_sweep_that_is_not_published_has_the_features_of_its_reasons_only(score: Score) -> None:
    swept = sweep(0, [1, 2], 4)
    (bare,) = score.take([*models(1, 2), swept])
    (whole,) = Score(POLICY, explain, explain_briefly).take([*models(1, 2), replace(swept, publish=True)])
    for name, scores in bare.scores.items():
        assert scores.reasons.dtype == np.int8
        assert scores.reasons.tolist() == whole.scores[name].reasons.tolist()


# Laws


def chosen(block: PeopleBlock, at: Sequence[int]) -> PeopleBlock:
    """Some rows of a block, in an order of their own."""
    columns = (
        "ids", "versions", "as_of", "boundaries", "features", "buyers", "lifecycle", "segment", "leaving", "positions",
        "entered",
    )  # fmt: skip
    part = {column: getattr(block, column)[list(at)] for column in columns}
    keys = None if block.keys is None else block.keys[list(at)]
    return replace(block, **part, keys=keys, rows=None if block.rows is None else block.rows[list(at)])


@given(at=st.lists(st.integers(0, 299), min_size=1, max_size=30), table=st.sampled_from(["customers", "devices"]))
def test_a_row_is_scored_alike_in_any_company(at: list[int], table: str) -> None:
    score = Score(POLICY, explain, explain_briefly)
    score.take(models(1, customers=50, visitors=50))
    block = people(features_of(8, count=300), table=table)  # type: ignore[arg-type]
    whole = rows(score.take([block]))
    assert rows(score.take([chosen(block, at)])).items() <= whole.items()


@given(
    cuts=st.sets(st.integers(1, 7)),
    ahead=st.lists(st.integers(0, 1), max_size=20),
    stops=st.sets(st.integers(0, 20)),
    groups=st.sets(st.integers(1, 7)),
    steps=st.lists(st.integers(0, STEPS - 1), min_size=1, max_size=20),
)
def test_scores_of_sweeps_do_not_depend_on_grouping_arrival_or_restarts(
    cuts: set[int], ahead: list[int], stops: set[int], groups: set[int], steps: list[int]
) -> None:
    """Sweeps in stacks of several boundaries, models in messages of several, either ahead, cut and stored anywhere."""
    learn = Learn(replace(POLICY, buckets=1))
    models_in, sweeps = [], []
    for start, stop in itertools.pairwise([0, *sorted(groups), 8]):
        models_in += learn.take([released(0, range(start, stop), 30)])
    for start, stop in itertools.pairwise([0, *sorted(cuts), 8]):
        sweeps.append(sweep(0, range(start, stop)))
    queues: list[list[Input]] = [[each for each in models_in if isinstance(each, BoundaryModels)], list(sweeps)]
    order = [queues[draw].pop(0) for draw in ahead if queues[draw]] + queues[0] + queues[1]
    score, found, turns = Restarting(lambda: Score(POLICY, explain, explain_briefly)), [], itertools.cycle(steps)
    for start, stop in itertools.pairwise([0, *sorted(at for at in stops if at < len(order)), len(order)]):
        found += score.machine.take(order[start:stop])
        score.step(next(turns))
    plain = Score(POLICY, explain, explain_briefly)
    assert rows(found) == rows(plain.take([*models(*range(8)), sweep(0, range(8))]))
    assert not score.machine.state.waiting
