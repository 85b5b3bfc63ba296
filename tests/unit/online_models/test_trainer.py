"""The models as a function of the data: whatever order and portions the blocks come in, the outputs are the same."""

import itertools
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.blocks import CustomerBlock, Examples, ModelReport, OutcomeScores, Released, ScoredBlock
from contracts.outcomes import Outcome
from online_models.outcome_model import QUANTILES
from online_models.trainer import Output, TrainerPolicy, TrainerState, join_blocks, new_trainer, offer

FEATURES = ("recency", "frequency", "money")
CHURN = Outcome(name="churn", within_days=90, happens=False, of="buyers")
BUYS = Outcome(name="buys", within_days=30, happens=True)
POLICY = TrainerPolicy((CHURN, BUYS), buckets=2, interval_hours=24)
FEW = round(1 - 0.98 ** (BUYS.within_days / 30), 6)
"""The prior's chance of an order by somebody who has none."""
Block = CustomerBlock | Released


def customers(bucket: int, boundary: int, count: int = 3, *, live: bool = False, number: int = 0) -> CustomerBlock:
    """Customers with features of their own, every other one a buyer: a recorded sweep, or a live block."""
    random = np.random.default_rng([bucket, boundary, live, number])
    return CustomerBlock(
        bucket=bucket,
        boundary=boundary,
        sweep=not live,
        ids=np.array([f"c{bucket}-{row}" for row in range(count)], object),
        versions=np.arange(count) + 1_000 * boundary + 10 * (number + 1) * live,
        as_of=np.full(count, boundary),
        features=random.normal(size=(count, len(FEATURES))).astype(np.float32),
        buyers=np.arange(count) % 2 == 0,
        lifecycle=np.zeros(count, np.int8),
        segment=np.zeros(count, np.int8),
        farewell=np.zeros(count, np.bool_),
        recorded=not live,
    )


def released(bucket: int, boundary: int, count: int = 4) -> Released:
    """Examples of both outcomes, of which the labels follow the first feature."""
    random = np.random.default_rng([bucket, boundary, 7])
    features = random.normal(size=(count, len(FEATURES))).astype(np.float32)
    labels, all_buyers, buyers = features[:, 0] > 0, np.ones(count, np.bool_), np.arange(count) % 4 < 3
    examples = {"churn": Examples(features, ~labels, all_buyers), "buys": Examples(features, labels, buyers)}
    return Released(bucket, boundary, examples)


def both(bucket: int, boundary: int, count: int = 3, examples: int = 4) -> list[Block]:
    return [customers(bucket, boundary, count), released(bucket, boundary, examples)]


@dataclass
class Trainer:
    """A trainer with its policy."""

    state: TrainerState
    policy: TrainerPolicy = POLICY

    def take(self, *blocks: Block) -> list[Output]:
        return list(offer(self.state, blocks, self.policy))

    def digests(self) -> dict[str, str]:
        return {name: model.digest() for name, model in self.state.models.items()}


@pytest.fixture
def trainer() -> Trainer:
    return Trainer(new_trainer(POLICY.outcomes, FEATURES))


def scored(outputs: Iterable[Output]) -> list[ScoredBlock]:
    return [output for output in outputs if isinstance(output, ScoredBlock)]


def reports(outputs: Iterable[Output]) -> list[ModelReport]:
    return [output for output in outputs if isinstance(output, ModelReport)]


def boundaries(outputs: Iterable[Output]) -> list[int]:
    return [each.customers.boundary for each in scored(outputs)]


def predicted(trainer: Trainer, outcome: str, block: CustomerBlock) -> list[float]:
    probability: list[float] = trainer.state.models[outcome].forecast(block.features, block.buyers).tolist()
    return probability


# Waiting


def test_models_wait_for_the_sweep_of_every_bucket(trainer: Trainer) -> None:
    untrained = trainer.digests()
    assert trainer.take(*both(0, 0), *both(0, 1), released(1, 0)) == []
    assert (trainer.state.boundary, trainer.digests()) == (None, untrained)
    assert boundaries(trainer.take(customers(1, 0))) == [0]
    assert trainer.state.boundary == 0


def test_models_wait_for_the_examples_of_every_bucket(trainer: Trainer) -> None:
    assert trainer.take(*both(0, 0), customers(1, 0)) == []
    assert boundaries(trainer.take(released(1, 0))) == [0]


def test_boundaries_come_in_their_order_also_when_one_bucket_was_far_ahead(trainer: Trainer) -> None:
    trainer.take(*[block for boundary in range(4) for block in both(0, boundary)])
    outputs = trainer.take(*[block for boundary in range(3) for block in both(1, boundary)])
    assert boundaries(outputs) == [0, 1, 2]
    assert [(report.boundary, report.outcome) for report in reports(outputs)] == [
        (boundary, name) for boundary in range(3) for name in ("churn", "buys")
    ]


def test_a_bucket_that_leaves_boundaries_out_holds_nobody_back(trainer: Trainer) -> None:
    trainer.take(*both(0, 0), *both(1, 0))
    assert trainer.take(*[block for boundary in range(1, 6) for block in both(0, boundary)]) == []
    outputs = trainer.take(*both(1, 5))
    assert boundaries(outputs) == [1, 2, 3, 4, 5]
    assert [len(each.customers.ids) for each in scored(outputs)] == [3, 3, 3, 3, 6]


def test_buckets_may_start_at_different_boundaries(trainer: Trainer) -> None:
    assert trainer.take(*both(1, 7)) == []
    assert boundaries(trainer.take(*[block for boundary in (5, 6, 7) for block in both(0, boundary)])) == [5, 6, 7]


def test_a_live_block_waits_for_the_model_of_its_boundary(trainer: Trainer) -> None:
    trainer.take(*both(0, 0), *both(1, 0))
    live = customers(0, 1, live=True)
    assert trainer.take(*both(0, 1), live) == []
    swept, moved = scored(trainer.take(*both(1, 1)))
    assert (swept.customers.sweep, moved.customers.sweep) == (True, False)
    assert moved.customers.ids.tolist() == live.ids.tolist()
    assert moved.scores["buys"].probability.tolist() == predicted(trainer, "buys", live)


def test_a_live_block_is_scored_before_the_models_move_on(trainer: Trainer) -> None:
    """All in one offer: the block of boundary 0 must see model 0, although model 1 is there at the end."""
    live = customers(0, 0, live=True)
    outputs = trainer.take(*both(0, 0), live, *both(0, 1), *both(1, 0), *both(1, 1))
    assert [(each.customers.boundary, each.customers.sweep) for each in scored(outputs)] == [
        (0, True), (0, False), (1, True),
    ]  # fmt: skip
    alone = Trainer(new_trainer(POLICY.outcomes, FEATURES))
    alone.take(*both(0, 0), *both(1, 0))
    assert scored(outputs)[1].scores["buys"].probability.tolist() == predicted(alone, "buys", live)
    assert scored(outputs)[1].scores["buys"].probability.tolist() != predicted(trainer, "buys", live)


def test_live_blocks_that_are_ready_together_are_scored_in_one_go(trainer: Trainer) -> None:
    trainer.take(*both(0, 0), *both(1, 0))
    first, second = (replace(customers(bucket, 0, live=True), oldest_record_at=7.0 - bucket) for bucket in (0, 1))
    published = replace(customers(1, 0), recorded=False)
    outputs = scored(trainer.take(first, published, second))
    assert [(each.customers.sweep, len(each.customers.ids)) for each in outputs] == [(True, 3), (False, 6)]
    assert outputs[1].customers.oldest_record_at == 6.0
    assert not outputs[0].customers.recorded


def test_what_is_through_is_forgotten(trainer: Trainer) -> None:
    for boundary in range(5):
        trainer.take(*both(0, boundary), customers(0, boundary, live=True), *both(1, boundary))
    assert (trainer.state.sweeps, trainer.state.released, trainer.state.live) == ({}, {}, [])


# Learning and scoring


def test_a_sweep_is_scored_by_the_model_that_learned_at_its_boundary(trainer: Trainer) -> None:
    blocks = customers(0, 0), customers(1, 0)
    (swept,) = scored(trainer.take(*blocks, released(0, 0), released(1, 0)))
    assert swept.scores["buys"].probability.tolist() == predicted(trainer, "buys", join_blocks(blocks))
    assert swept.scores["buys"].probability.tolist() != [0.5] * 6
    assert swept.model_version == "logistic-2@1970-01-01T00"


@pytest.mark.parametrize(
    ("hours", "boundary", "version"),
    [(24, 10_000, "logistic-2@1997-05-19T00"), (6, 3, "logistic-2@1970-01-01T18")],
)
def test_a_model_is_named_by_the_time_of_its_boundary(hours: int, boundary: int, version: str) -> None:
    assert TrainerPolicy((BUYS,), 1, hours).model_version(boundary) == version


def test_a_report_measures_forecasts_made_before_learning(trainer: Trainer) -> None:
    """The first examples are forecast by a model that knows nothing."""
    churn, report = reports(trainer.take(*both(0, 0, examples=40), *both(1, 0, examples=10)))
    assert (report.outcome, report.examples, report.examples_total) == ("buys", 50, 50)
    assert (churn.quality["window"], churn.quality["brier"], churn.quality["auc"]) == (50, 0.25, 0.5)
    later = reports(trainer.take(*both(0, 1, examples=5), *both(1, 1, examples=5)))[1]
    assert (later.examples, later.examples_total, later.quality["window"]) == (10, 60, 60)


def test_a_report_tells_the_model_that_it_made(trainer: Trainer) -> None:
    churn, buys = reports(trainer.take(*both(0, 0), *both(1, 0)))
    labels = np.concatenate([released(bucket, 0).examples["buys"].labels for bucket in (0, 1)])
    assert (churn.positives, buys.positives) == (int((~labels).sum()), int(labels.sum()))
    assert {"churn": churn.digest, "buys": buys.digest} == trainer.digests()
    assert buys.weights == trainer.state.models["buys"].weights()


def test_without_examples_there_is_no_report_and_every_chance_is_even(trainer: Trainer) -> None:
    outputs = trainer.take(*both(0, 0, examples=0), *both(1, 0, examples=0))
    assert reports(outputs) == []
    (swept,) = scored(outputs)
    buyers = swept.customers.buyers
    assert set(swept.scores["buys"].probability[buyers]) == {0.5}, "nothing is known of buyers"
    assert set(swept.scores["buys"].probability[~buyers]) == {FEW}, "the prior is known of the others"


def test_an_empty_sweep_makes_a_model_and_no_scores(trainer: Trainer) -> None:
    outputs = trainer.take(*both(0, 0, count=0), *both(1, 0, count=0))
    assert (len(reports(outputs)), scored(outputs), trainer.state.boundary) == (2, [], 0)


def test_a_question_about_buyers_has_no_answer_for_others(trainer: Trainer) -> None:
    (swept,) = scored(trainer.take(*both(0, 0), *both(1, 0)))
    others = ~swept.customers.buyers
    assert others.any()
    for values in (swept.scores["churn"].probability, swept.scores["churn"].percentile):
        assert np.isnan(values).tolist() == others.tolist()
    assert not np.isnan(swept.scores["buys"].probability).any()


# Percentiles


def share_below(scores: OutcomeScores) -> list[float]:
    asked = scores.probability[~np.isnan(scores.probability)]
    return [float((asked < each).mean() * 100) for each in asked]


def test_a_percentile_is_the_share_of_those_asked_who_score_lower(trainer: Trainer) -> None:
    (swept,) = scored(trainer.take(*both(0, 0, count=41), *both(1, 0, count=20)))
    for scores in swept.scores.values():
        told = scores.percentile[~np.isnan(scores.percentile)]
        assert told == pytest.approx(share_below(scores), abs=0.0501)
        assert told.min() == 0.0


def test_equal_scores_have_equal_percentiles(trainer: Trainer) -> None:
    features = np.repeat(customers(0, 0, count=2).features, 4, axis=0)
    twins = replace(customers(0, 0, count=8), features=features, buyers=np.ones(8, np.bool_))
    (swept,) = scored(trainer.take(twins, released(0, 0), *both(1, 0, count=0)))
    assert sorted(swept.scores["buys"].percentile.tolist()) == [0.0] * 4 + [50.0] * 4


def test_percentiles_of_many_are_read_off_a_bounded_number_of_quantiles(trainer: Trainer) -> None:
    (swept,) = scored(trainer.take(*both(0, 0, count=3_700), *both(1, 0, count=5)))
    assert len(trainer.state.models["buys"].quantiles) == QUANTILES
    scores = swept.scores["buys"]
    assert scores.percentile == pytest.approx(share_below(scores), abs=0.2)


def test_a_live_customer_is_compared_with_the_newest_sweep(trainer: Trainer) -> None:
    (swept,) = scored(trainer.take(*both(0, 0, count=30), *both(1, 0, count=30)))
    live = customers(1, 0, count=30, live=True)
    (moved,) = scored(trainer.take(live))
    population = swept.scores["buys"].probability
    expected = [float((population < each).mean() * 100) for each in moved.scores["buys"].probability]
    assert moved.scores["buys"].percentile == pytest.approx(expected, abs=0.0501)


def test_before_the_first_swept_customer_percentiles_are_in_the_middle(trainer: Trainer) -> None:
    trainer.take(*both(0, 0, count=0), *both(1, 0, count=0))
    (moved,) = scored(trainer.take(customers(0, 0, live=True)))
    assert moved.scores["buys"].percentile.tolist() == [50.0] * 3
    asked = ~np.isnan(moved.scores["churn"].probability)
    assert moved.scores["churn"].percentile[asked].tolist() == [50.0] * asked.sum()
    assert np.isnan(moved.scores["churn"].percentile[~asked]).all()
    assert not asked.all()


# Laws


@dataclass
class History:
    """By bucket: the boundaries that it sweeps, each with the number of customers, examples and live blocks."""

    buckets: list[dict[int, tuple[int, int, int]]]

    def queues(self) -> list[list[Block]]:
        """The blocks whose order is kept: customers and examples come on a way of their own from every bucket."""
        ways: list[list[Block]] = []
        for bucket, swept in enumerate(self.buckets):
            blocks: list[Block] = []
            for boundary, (count, _, lives) in sorted(swept.items()):
                blocks.append(customers(bucket, boundary, count))
                blocks += [customers(bucket, boundary, count, live=True, number=number) for number in range(lives)]
            ways += [blocks, [released(bucket, at, examples) for at, (_, examples, _) in sorted(swept.items())]]
        return ways

    def interleaved(self, draws: Sequence[int]) -> list[Block]:
        queues, order = self.queues(), []
        for draw in draws:
            waiting = [queue for queue in queues if queue]
            if waiting:
                order.append(waiting[draw % len(waiting)].pop(0))
        return order + [block for queue in queues for block in queue]


def histories() -> st.SearchStrategy[History]:
    about = st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2))
    swept = st.dictionaries(st.integers(0, 4), about, min_size=1)
    return st.lists(swept, min_size=1, max_size=3).map(History)


def bits(scores: Mapping[str, OutcomeScores], at: slice) -> list[bytes]:
    return [part[at].tobytes() for each in scores.values() for part in (each.probability, each.percentile)]


def explained(scores: Mapping[str, OutcomeScores]) -> list[bytes]:
    parts = [each.explainer for each in scores.values()]
    return [array.tobytes() for part in parts for array in (part.mean, part.deviation, part.weight)]


def written(outputs: list[Output]) -> list[object]:
    """The reports and the recorded sweeps, in their order, to the last bit."""
    told: list[object] = []
    for output in outputs:
        if isinstance(output, ModelReport):
            told.append(repr(output))
        elif output.customers.recorded:
            block, scores = output.customers, output.scores
            told.append((block.boundary, block.ids.tolist(), bits(scores, slice(None)), explained(scores)))
    return told


def keys(block: CustomerBlock) -> list[tuple[str, int]]:
    return list(zip(block.ids.tolist(), block.versions.tolist(), strict=True))


def looked_up(outputs: list[Output]) -> dict[tuple[str, int], object]:
    """What is scored between sweeps, by customer and version."""
    found: dict[tuple[str, int], object] = {}
    for each in scored(outputs):
        if not each.customers.recorded:
            for at, key in enumerate(keys(each.customers)):
                found[key] = (each.model_version, bits(each.scores, slice(at, at + 1)), explained(each.scores))
    return found


def run(history: History, draws: Sequence[int], cuts: Iterable[int], *, pickled: bool = False) -> list[Output]:
    policy = replace(POLICY, buckets=len(history.buckets))
    state = new_trainer(policy.outcomes, FEATURES)
    blocks = history.interleaved(draws)
    outputs: list[Output] = []
    for start, stop in itertools.pairwise([0, *sorted(at for at in cuts if at < len(blocks)), len(blocks)]):
        outputs += offer(state, blocks[start:stop], policy)
        if pickled:
            state = pickle.loads(pickle.dumps(state))
    return outputs


@given(
    history=histories(),
    draws=st.lists(st.integers(0, 5), max_size=70),
    cuts=st.sets(st.integers(0, 70)),
)
def test_interleaving_cutting_and_pickling_change_no_bit(history: History, draws: list[int], cuts: set[int]) -> None:
    whole, other = run(history, [], []), run(history, draws, cuts, pickled=True)
    assert written(other) == written(whole)
    assert looked_up(other) == looked_up(whole)


@given(history=histories(), draws=st.lists(st.integers(0, 5), max_size=70))
def test_every_customer_is_scored_by_the_model_of_its_boundary_once_all_buckets_are_there(
    history: History, draws: list[int]
) -> None:
    through = min(max(swept) for swept in history.buckets)
    outputs = run(history, draws, [])
    offered = [block for queue in history.queues() for block in queue if isinstance(block, CustomerBlock)]
    expected = [key for block in offered if block.boundary <= through for key in keys(block)]
    assert sorted(key for each in scored(outputs) for key in keys(each.customers)) == sorted(expected)
    assert {report.boundary for report in reports(outputs)} <= set(range(through + 1))
