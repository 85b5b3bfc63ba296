"""The learn step: models, reports and messages are a function of the data, whatever order and portions they come in."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.model_blocks import BUYS, NAMES, POLICY, examples, join_released, population, released, sample
from support.restarting import STEPS, Restarting
from support.state import frozen, thawed

from contracts.model_blocks import BoundaryModel, BoundaryModels, Examples, ModelReport, Released, VisitorSample
from online_models.outcome_model import BUYERS, OTHERS, QUANTILES, VISITORS, forecast
from online_models.policy import ModelsPolicy
from online_models.trainer import Learn, Output


def messages(outputs: Iterable[Output]) -> list[BoundaryModels]:
    return [output for output in outputs if isinstance(output, BoundaryModels)]


def reports(outputs: Iterable[Output]) -> list[ModelReport]:
    return [output for output in outputs if isinstance(output, ModelReport)]


def digests(learn: Learn) -> dict[str, str]:
    return {name: model.digest() for name, model in learn.state.models.items()}


@pytest.fixture
def learn() -> Learn:
    return Learn(POLICY)


# Waiting


def test_models_wait_for_every_bucket(learn: Learn) -> None:
    untrained = digests(learn)
    assert learn.take([released(0, [0, 1, 2])]) == []
    assert digests(learn) == untrained
    outputs = learn.take([released(1, [0, 1])])
    assert [message.newest.boundary for message in messages(outputs)] == [1, 1]
    assert [(report.boundary, report.outcome) for report in reports(outputs)] == [
        (boundary, name) for boundary in (0, 1) for name in ("churn", "buys")
    ]


def test_every_bucket_gets_the_models_of_its_sweeps_and_the_newest(learn: Learn) -> None:
    """Bucket 1 has no customers at boundaries 0 and 2."""
    parts = [released(1, [0], customers=0), released(1, [1]), released(1, [2], customers=0)]
    first, second = messages(learn.take([released(0, [0, 1, 2]), *parts]))
    assert (first.bucket, [model.boundary for model in first.models], first.newest.boundary) == (0, [0, 1, 2], 2)
    assert (second.bucket, [model.boundary for model in second.models], second.newest.boundary) == (1, [1], 2)
    assert first.newest is second.newest is first.models[-1]


def test_a_bucket_that_skips_boundaries_holds_nobody_back(learn: Learn) -> None:
    learn.take([released(0, [0]), released(1, [0])])
    assert learn.take([released(0, range(1, 6))]) == []
    first, second = messages(learn.take([released(1, [5])]))
    assert [model.boundary for model in first.models] == [1, 2, 3, 4, 5]
    assert [model.boundary for model in second.models] == [5]


def test_what_is_through_is_forgotten(learn: Learn) -> None:
    for boundary in range(5):
        learn.take([released(0, [boundary]), released(1, [boundary])])
    assert learn.state.waiting == {}


def test_nothing_comes_of_a_resumption(learn: Learn) -> None:
    learn.take([released(0, [0])])
    assert not thawed(Learn(POLICY), frozen(learn)).resumed()


# Learning


@pytest.mark.parametrize(
    ("hours", "boundary", "version"),
    [(24, 10_000, "logistic-2@1997-05-19T00"), (6, 3, "logistic-2@1970-01-01T18")],
)
def test_a_model_is_named_by_the_time_of_its_boundary(hours: int, boundary: int, version: str) -> None:
    assert ModelsPolicy((BUYS,), NAMES, 1, hours).model_version(boundary) == version


def test_a_report_measures_forecasts_made_before_learning(learn: Learn) -> None:
    """The first examples are forecast by a model that knows nothing."""
    churn, report = reports(learn.take([released(0, [0], 40), released(1, [0], 10)]))
    assert (report.outcome, report.examples, report.examples_total) == ("buys", 50, 50)
    assert (churn.quality["window"], churn.quality["brier"], churn.quality["auc"]) == (50, 0.25, 0.5)
    later = reports(learn.take([released(0, [1], 5), released(1, [1], 5)]))[1]
    assert (later.examples, later.examples_total, later.quality["window"]) == (10, 60, 60)


def test_a_report_describes_the_model_that_was_made(learn: Learn) -> None:
    churn, buys = reports(learn.take([released(0, [0]), released(1, [0])]))
    labels = np.concatenate([examples(bucket, 0, 4)["buys"].labels for bucket in (0, 1)])
    assert (churn.positives, buys.positives) == (int((~labels).sum()), int(labels.sum()))
    assert {"churn": churn.digest, "buys": buys.digest} == digests(learn)
    assert buys.weights == learn.state.models["buys"].weights()


def test_buckets_are_learned_in_their_order(learn: Learn) -> None:
    learn.take([released(1, [0], 30), released(0, [0], 20)])
    alone = Learn(POLICY)
    both = [(examples(0, 0, 20)[name], examples(1, 0, 30)[name]) for name in ("churn", "buys")]
    for name, parts in zip(("churn", "buys"), both, strict=True):
        columns = [[getattr(part, column) for part in parts] for column in ("features", "labels", "buyers")]
        alone.state.models[name].learn(Examples(*(np.concatenate(column) for column in columns)))
    assert digests(learn) == digests(alone)


def test_without_examples_there_are_models_and_no_reports(learn: Learn) -> None:
    outputs = learn.take([released(0, [0, 1], 0), released(1, [0, 1], 0)])
    assert reports(outputs) == []
    first, second = messages(outputs)[0].models
    assert (first.version, second.version) == ("logistic-2@1970-01-01T00", "logistic-2@1970-01-02T00")
    for name in ("churn", "buys"):
        assert first.outcomes[name].slopes is second.outcomes[name].slopes, "boundaries share what stays the same"


def test_a_model_as_arrays_gives_the_learners_predictions(learn: Learn) -> None:
    (message, _) = messages(learn.take([released(0, [0], 400), released(1, [0], 400)]))
    asked, model = population(0, 9, 20), learn.state.models["buys"]
    assert model.others is not None
    for visitors in (False, True):
        chances = forecast(message.newest.outcomes["buys"], asked.features, asked.buyers, visitors=visitors)
        assert chances[asked.buyers].tolist() == model.buyers.predict(asked.features[asked.buyers]).tolist()
        others = model.others.predict(asked.features[~asked.buyers], visitors=visitors)
        assert chances[~asked.buyers].tolist() == others.tolist()


def test_a_question_about_buyers_is_not_asked_of_others(learn: Learn) -> None:
    (message, _) = messages(learn.take([released(0, [0]), released(1, [0])]))
    offsets = message.newest.outcomes["churn"].offsets
    assert np.isnan(offsets).tolist() == [at in (OTHERS, VISITORS) for at in (BUYERS, OTHERS, VISITORS)]
    assert len(message.newest.outcomes["churn"].quantiles) == 4, "two buyers in each bucket"
    assert len(message.newest.outcomes["buys"].quantiles) == 6


def test_quantiles_are_bounded(learn: Learn) -> None:
    (message, _) = messages(learn.take([released(0, [0], customers=3_700), released(1, [0], customers=5)]))
    quantiles = message.newest.outcomes["buys"].quantiles
    everyone = [population(0, 0, 3_700), population(1, 0, 5)]
    scores = [forecast(message.newest.outcomes["buys"], one.features, one.buyers) for one in everyone]
    ascending = np.sort(np.concatenate(scores))
    assert len(quantiles) == QUANTILES
    assert quantiles == pytest.approx(np.quantile(ascending, np.linspace(0, 1, QUANTILES), method="lower"))


# Visitors


def test_visitors_are_ranked_by_the_newest_sample_of_each_bucket(learn: Learn) -> None:
    (before, _) = messages(learn.take([released(0, [0]), released(1, [0])]))
    assert len(before.rankings["buys"].values) == 0
    learn.take([sample(0, 1, 4), sample(1, 0, 2), sample(0, 0, 9)])
    (after, _) = messages(learn.take([released(0, [1]), released(1, [1])]))
    assert len(after.rankings["buys"].values) == 6
    assert len(after.rankings["churn"].values) == 0, "the question is not asked of people without orders"
    assert after.rankings["buys"].values.tolist() == sorted(after.rankings["buys"].values.tolist())


def test_a_sample_counts_for_all_visitors_of_its_bucket(learn: Learn) -> None:
    learn.take([sample(0, 0, 1, total=30), sample(1, 0, 2, total=70)])
    (message, _) = messages(learn.take([released(0, [0]), released(1, [0])]))
    below = message.rankings["buys"].below
    assert np.diff(below).tolist() in ([pytest.approx(part) for part in each] for each in
                                       ([0.3, 0.35, 0.35], [0.35, 0.3, 0.35], [0.35, 0.35, 0.3]))  # fmt: skip


def test_samples_are_not_waited_for_and_rank_at_once_when_they_come_late(learn: Learn) -> None:
    learn.take([sample(0, 0)])
    (first, _) = messages(learn.take([released(0, [0]), released(1, [0])]))
    late = messages(learn.take([sample(1, 0)]))
    assert [(len(each.rankings["buys"].values), each.models, each.newest) for each in late] == [
        (6, [], first.newest), (6, [], first.newest),
    ]  # fmt: skip
    assert len(first.rankings["buys"].values) == 3


def test_an_older_sample_changes_nothing(learn: Learn) -> None:
    learn.take([sample(0, 5), released(0, [0]), released(1, [0])])
    assert learn.take([sample(0, 4)]) == []


def test_where_nobody_visits_nothing_is_sent(learn: Learn) -> None:
    learn.take([released(0, [0]), released(1, [0])])
    assert learn.take([sample(0, 1, 0), sample(1, 1, 0)]) == []
    assert len(learn.take([sample(0, 2, 3)])) == 2
    (message, _) = messages(learn.take([sample(0, 3, 0)]))
    assert len(message.rankings["buys"].values) == 0, "the last visitor has left"


# Laws


@dataclass
class History:
    """By bucket the boundaries that it delivers, each with the number of examples and of customers."""

    buckets: list[dict[int, tuple[int, int]]]

    def queues(self) -> list[list[Released]]:
        return [
            [released(bucket, [boundary], *counts) for boundary, counts in sorted(swept.items())]
            for bucket, swept in enumerate(self.buckets)
        ]


def histories() -> st.SearchStrategy[History]:
    swept = st.dictionaries(st.integers(0, 5), st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1)
    return st.lists(swept, min_size=1, max_size=3).map(History)


def interleaved(history: History, draws: Sequence[tuple[int, int]]) -> list[Released]:
    """The deliveries in an order and in groups that the draws fix: which bucket, and how many boundaries."""
    queues, order = history.queues(), []
    for draw, size in [*draws, *[(0, 1)] * 20]:
        waiting = [queue for queue in queues if queue]
        if waiting:
            queue = waiting[draw % len(waiting)]
            order.append(join_released(queue[:size]))
            del queue[:size]
    return order


def model_bits(model: BoundaryModel) -> tuple[object, ...]:
    arrays = [array.tobytes() for name in sorted(model.outcomes) for array in model.outcomes[name]]
    return (model.boundary, model.version, *arrays)


def run(
    history: History,
    deliveries: Sequence[Released | VisitorSample],
    cuts: Iterable[int] = (),
    steps: Sequence[int] = (),
) -> tuple[list[str], dict[int, list[object]], dict[str, str]]:
    """Reports, the models of each bucket, and the digests at the end."""
    policy = replace(POLICY, buckets=len(history.buckets))
    learn, outputs, turns = Restarting(lambda: Learn(policy)), [], itertools.cycle(steps or [0])
    inside = sorted(cut for cut in cuts if cut < len(deliveries))
    for start, stop in itertools.pairwise([0, *inside, len(deliveries)]):
        outputs += learn.machine.take(deliveries[start:stop])
        learn.step(next(turns))
    models: dict[int, list[object]] = {bucket: [] for bucket in range(policy.buckets)}
    for message in messages(outputs):
        models[message.bucket] += [model_bits(model) for model in message.models]
    return [repr(report) for report in reports(outputs)], models, digests(learn.machine)


@given(
    history=histories(),
    draws=st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=20),
    cuts=st.sets(st.integers(0, 20)),
    visitors=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=3),
    steps=st.lists(st.integers(0, STEPS - 1), max_size=20),
)
def test_grouping_interleaving_samples_and_restarts_change_no_bit(
    history: History, draws: list[tuple[int, int]], cuts: set[int], visitors: list[tuple[int, int]], steps: list[int]
) -> None:
    plain = run(history, interleaved(history, []))
    deliveries: list[Released | VisitorSample] = list(interleaved(history, draws))
    for bucket, boundary in visitors:
        deliveries.insert(boundary, sample(bucket % len(history.buckets), boundary))
    assert run(history, deliveries, cuts, steps) == plain


@given(history=histories())
def test_each_bucket_gets_a_model_for_each_boundary_at_which_it_has_customers(history: History) -> None:
    through = min(max(swept) for swept in history.buckets)
    _, models, _ = run(history, interleaved(history, []))
    for bucket, swept in enumerate(history.buckets):
        wanted = [boundary for boundary, (_, customers) in sorted(swept.items()) if customers and boundary <= through]
        assert [bits[0] for bits in models[bucket] if isinstance(bits, tuple)] == wanted
