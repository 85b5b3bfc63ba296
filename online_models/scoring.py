"""The score step of one bucket: it takes people and returns them with their scores.

A sweep waits for the models of its boundaries, so its scores are a function of the data. Live people are scored at once
by the newest models, unless these are older than those of the boundary before; restated people wait for those of their
boundary. They come after the sweep of that boundary and before the next one: models of several boundaries may arrive
together, and whoever reads the scores must find the newest.

A visitor may depart while older rows of it wait. These must not reach Redis after the departure, where nothing is left
of a forgotten visitor, not even a version: departures take them out of the queue.

The reasons of published scores are keys, from which phrases are made. Most sweeps of a catch-up are only stored: their
reasons are features only.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contracts.backlog import SweepBacklog
from contracts.blocks import Departures, PeopleBlock
from contracts.entries import Queue, Replaced, StoredDict
from contracts.ids import among, as_texts
from contracts.machine import Machine
from contracts.metrics import SCORES, labelled
from contracts.model_blocks import (
    BoundaryModel,
    BoundaryModels,
    LinearModels,
    OutcomeScores,
    Ranking,
    Reasons,
    ScoredBlock,
)
from contracts.state import Part
from online_models.linear import probabilities
from online_models.notable import Memory, new_memory, notable_rows
from online_models.outcome_model import BUYERS, EMPTY_RANKING, OTHERS, VISITORS, lines_of
from online_models.policy import FAMILY, ModelsPolicy
from online_models.trainer import untrained

BEFORE_ANY: Final = -(2**31)
"""The boundary of the models before any example."""
BEFORE_ALL: Final = -1
"""Less than all versions."""
FEW: Final = 200
"""Up to this many people are scored and explained for all outcomes at once, if they are live or published."""
KINDS: Final = 2
"""Lines of an outcome's models: people with orders, and people without."""
Explain = Callable[
    [NDArray[np.float32], NDArray[np.floating], NDArray[np.floating], NDArray[np.int32], NDArray[np.bool_]],
    Reasons,
]
"""``explain(features (n, F), means (m, F), slopes (m, F), of (n,), asked (n,))`` returns the reasons (n, 3) of
:class:`contracts.model_blocks.OutcomeScores`: row i is explained by ``means[of[i]]`` and ``slopes[of[i]]``, and has
none unless ``asked[i]``."""
Input = PeopleBlock | Departures | BoundaryModels


class ScoreState:
    """The newest models with the visitors' rankings, and the memory of what readers saw last.

    ``models`` belong to the boundaries of coming sweeps. ``waiting`` are sweeps that wait for the models of their
    boundaries, ``others`` are live and restated people who wait for models.
    """

    def __init__(self, newest: BoundaryModel):
        self.newest = newest
        self.rankings: Mapping[str, Ranking] = {}
        self.models: StoredDict[int, BoundaryModel] = StoredDict(int, BoundaryModel)
        self.waiting: Queue[PeopleBlock] = Queue(PeopleBlock)
        self.others: Queue[PeopleBlock] = Queue(PeopleBlock)
        self.seen: Memory = new_memory()

    def parts(self) -> dict[str, Part]:
        """Return the parts of the state by name."""
        newest = Replaced(BoundaryModel, lambda: self.newest, lambda model: setattr(self, "newest", model))
        rankings = Replaced(dict[str, Ranking], lambda: self.rankings, lambda found: setattr(self, "rankings", found))
        queues: dict[str, Part] = {"models": self.models, "waiting": self.waiting, "others": self.others}
        seen = {f"seen.{table}": each for table, each in self.seen.items()}
        return {"newest": newest, "rankings": rankings, **queues, **seen}


@dataclass(frozen=True)
class Chosen:
    """The models of a block: ``models[of[i]]`` score row i; ``lines[i]`` is its line in their stacked arrays."""

    models: Sequence[BoundaryModel]
    of: NDArray[np.int32]
    starts: NDArray[np.int64]
    """Where the rows of each of the models start; the last entry is the number of rows."""
    lines: NDArray[np.int32]


class Unexplained(NamedTuple):
    """The scores of one outcome for n people, with the means and slopes (m, features) of the lines that gave them."""

    chances: NDArray[np.float64]
    places: NDArray[np.float32]
    means: NDArray[np.float64]
    slopes: NDArray[np.float64]

    @property
    def asked(self) -> NDArray[np.bool_]:
        """Which people the outcome covers."""
        asked: NDArray[np.bool_] = ~np.isnan(self.chances)
        return asked


class Score(Machine[Input, ScoredBlock]):
    """Scores the people of one bucket, and notes in ``backlog`` how many rows of sweeps wait for models.

    ``explain`` gives the keys of reasons, ``explain_briefly`` their features only, for sweeps that are not published.
    """

    def __init__(
        self, policy: ModelsPolicy, explain: Explain, explain_briefly: Explain, backlog: SweepBacklog | None = None
    ):
        self._policy, self._explain, self._explain_briefly, self._backlog = policy, explain, explain_briefly, backlog
        self.state = ScoreState(BoundaryModel(BEFORE_ANY, f"{FAMILY}@untrained", untrained(policy)))
        self._parts = self.state.parts()
        self._stacked: Stacked | None = None

    def forget(self, people: Set[str]) -> None:
        """Remove people from the blocks that wait."""
        for queue in (self.state.waiting, self.state.others):
            for number, block in list(queue.data.items()):
                stays = ~among(block.ids, people)
                if not stays.any():
                    del queue[number]
                elif not stays.all():
                    queue[number] = block.pick(stays)

    def take(self, items: Sequence[Input]) -> list[ScoredBlock]:
        """Take models and people; return the people who can be scored now: live ones, then sweeps and restated ones."""
        for item in items:
            if isinstance(item, BoundaryModels):
                self._learn(item)
        state = self.state
        for item in items:
            if isinstance(item, PeopleBlock) and len(item):
                (state.waiting if item.kind == "sweep" else state.others).append(item)
            elif isinstance(item, Departures) and state.others:
                self._depart(item)
        others = self._scorable()
        found = [self._newest(people) for people in others if people.kind == "live"]
        restated = deque(sorted((people for people in others if people.kind == "restated"), key=_through))
        for people in self._ready():
            while restated and _through(restated[0]) < people.boundaries[0]:
                found.append(self._newest(restated.popleft()))
            found.append(self._sweep(people))
        if items:
            self._note_waiting(items[0].bucket)
        return found + [self._newest(people) for people in restated]

    def resumed(self) -> list[ScoredBlock]:
        """Note the rows that wait since before the restart."""
        first = next(iter(self.state.waiting.values()), None)
        if first is not None:
            self._note_waiting(first.bucket)
        return []

    def parts(self) -> Mapping[str, Part]:
        """Return the parts of the state by name."""
        return self._parts

    def _note_waiting(self, bucket: int) -> None:
        if self._backlog is not None:
            self._backlog.wait(bucket, sum(len(people) for people in self.state.waiting.data.values()))

    def _learn(self, message: BoundaryModels) -> None:
        state = self.state
        state.newest, state.rankings = message.newest, message.rankings
        state.models.update((model.boundary, model) for model in message.models)

    def _depart(self, gone: Departures) -> None:
        """Let rows of departed visitors that wait go to ClickHouse only, as live ones do, or nowhere."""
        others, versions = self.state.others, dict(zip(gone.ids.tolist(), gone.versions.tolist(), strict=True))
        waiting = [(number, block) for number, block in others.data.items() if block.visitors and block.publish]
        for number, block in waiting:
            last = np.array([versions.get(each, BEFORE_ALL) for each in as_texts(block.ids).tolist()])
            stays = block.versions > last
            if stays.all():
                continue
            if stays.any():
                others[number] = block.pick(stays)
            else:
                del others[number]
            if block.kind == "live":
                others.append(replace(block.pick(~stays), publish=False))

    def _ready(self) -> list[PeopleBlock]:
        """Remove and return the sweeps whose models have all arrived, in order."""
        state = self.state
        newest = state.newest.boundary
        ready = list(takewhile(lambda number: _through(state.waiting[number]) <= newest, state.waiting.data))
        return [state.waiting.pop(number) for number in ready]

    def _may_be_scored(self, people: PeopleBlock) -> bool:
        """Whether the newest models are new enough to score people.

        Restated people need the models of their boundary, live people those of the boundary before. So live people wait
        only just after a catch-up.
        """
        needed = _through(people) - (people.kind == "live")
        return self.state.newest.boundary >= needed

    def _scorable(self) -> list[PeopleBlock]:
        """Remove and return the live and restated people who can be scored now, in order."""
        return self.state.others.remove(self._may_be_scored) if self.state.others else []

    def _newest(self, people: PeopleBlock) -> ScoredBlock:
        """Score people by the newest models."""
        return self._score(people, _one(people, self.state.newest))

    def _sweep(self, people: PeopleBlock) -> ScoredBlock:
        """Score a sweep by the models of its boundaries, and forget the models of earlier boundaries.

        The models of its own boundaries stay until the next sweep: near the end of the log a sweep comes in slices, and
        customers who leave during a catch-up come in a second block of the same boundaries.
        """
        chosen = _by_boundary(people, self.state.models)
        first = int(people.boundaries[0])
        for boundary in [earlier for earlier in self.state.models.data if earlier < first]:
            del self.state.models[boundary]
        return self._score(people, chosen)

    def _score(self, people: PeopleBlock, chosen: Chosen) -> ScoredBlock:
        names = [outcome.name for outcome in self._policy.outcomes]
        explained = people.publish or people.kind == "live"
        if explained and len(people) <= FEW and len(chosen.models) == 1:
            found, reasons = self._few(people, chosen)
        else:
            explain = self._explain if explained else self._explain_briefly
            found = [self._outcome(name, people, chosen) for name in names]
            reasons = [explain(people.features, one.means, one.slopes, chosen.lines, one.asked) for one in found]
        scores = {
            name: OutcomeScores(each.chances, each.places, keys, each.means, chosen.lines)
            for name, each, keys in zip(names, found, reasons, strict=True)
        }
        if not people.visitors:  # the steps that keep visitors count theirs
            labelled(SCORES, "event" if people.kind == "live" else "sweep").inc(len(people))
        notable = notable_rows(self.state.seen, people, scores, self._policy.week)
        return ScoredBlock(people, scores, [model.version for model in chosen.models], chosen.of, notable)

    def _outcome(self, name: str, people: PeopleBlock, chosen: Chosen) -> Unexplained:
        models = [model.outcomes[name] for model in chosen.models]
        means = np.concatenate([model.means for model in models])
        slopes = np.concatenate([model.slopes for model in models])
        kinds = [BUYERS, VISITORS if people.visitors else OTHERS]
        offsets = np.array([model.offsets for model in models])[:, kinds].ravel()
        lines = chosen.lines
        chances = probabilities(people.features, slopes, offsets, lines)
        return Unexplained(chances, self._places(name, people, models, chosen, chances), means, slopes)

    def _few(self, people: PeopleBlock, chosen: Chosen) -> tuple[list[Unexplained], list[Reasons]]:
        """Return the scores and reasons of few people by one model.

        All outcomes are computed in one call, since calls cost most here: row i of outcome k is line ``width * k + i``.
        """
        model, lines = chosen.models[0], chosen.lines
        if self._stacked is None or self._stacked.model is not model:
            self._stacked = Stacked.of(model, [outcome.name for outcome in self._policy.outcomes])
        stacked, count = self._stacked, len(self._policy.outcomes)
        features = np.concatenate([people.features] * count)
        every = (lines + stacked.firsts).ravel()
        offsets = stacked.offsets[int(people.visitors)]
        chances = probabilities(features, stacked.slopes, offsets, every).reshape(count, -1)
        keys = self._explain(features, stacked.plain_means, stacked.plain_slopes, every, ~np.isnan(chances).ravel())
        found = []
        for outcome, row in zip(self._policy.outcomes, chances, strict=True):
            one = model.outcomes[outcome.name]
            places = self._places(outcome.name, people, [one], chosen, row)
            found.append(Unexplained(row, places, one.means, one.slopes))
        return found, list(keys.reshape(count, len(people), -1))

    def _places(
        self, name: str, people: PeopleBlock, models: Sequence[LinearModels], chosen: Chosen,
        chances: NDArray[np.float64],
    ) -> NDArray[np.float32]:  # fmt: skip
        """Return where people stand among others of their kind, in per cent."""
        if people.visitors:
            return _rank(self.state.rankings.get(name, EMPTY_RANKING), chances)
        return _percentiles(models, chosen.starts, chances)


class Stacked(NamedTuple):
    """The lines of all outcomes of a model, below one another; ``offsets`` of customers and of visitors.

    ``plain_means`` and ``plain_slopes`` are in single precision, as reasons are computed.
    """

    model: BoundaryModel
    slopes: NDArray[np.float64]
    offsets: tuple[NDArray[np.float64], NDArray[np.float64]]
    plain_means: NDArray[np.float32]
    plain_slopes: NDArray[np.float32]
    firsts: NDArray[np.int32]
    """The first line of each outcome, shape (outcomes, 1)."""

    @classmethod
    def of(cls, model: BoundaryModel, names: Sequence[str]) -> "Stacked":
        """Stack the lines of outcomes."""
        every = [model.outcomes[name] for name in names]
        means, slopes = (np.concatenate([getattr(one, name) for one in every]) for name in ("means", "slopes"))
        customers, visitors = (
            np.concatenate([one.offsets[[BUYERS, others]] for one in every]) for others in (OTHERS, VISITORS)
        )
        firsts = np.arange(0, KINDS * len(every), KINDS, dtype=np.int32)[:, None]
        return cls(
            model, slopes, (customers, visitors), means.astype(np.float32), slopes.astype(np.float32), firsts
        )  # fmt: skip


def _through(people: PeopleBlock) -> int:
    """Return the last boundary of a sweep."""
    return int(people.boundaries[-1])


def _one(people: PeopleBlock, model: BoundaryModel) -> Chosen:
    """One model for all rows."""
    count = len(people)
    return Chosen([model], np.zeros(count, np.int32), np.array([0, count]), lines_of(people.buyers))


def _by_boundary(people: PeopleBlock, models: Mapping[int, BoundaryModel]) -> Chosen:
    """The models of each row's boundary. The rows of a sweep ascend by boundary."""
    boundaries = people.boundaries
    turns = np.flatnonzero(boundaries[1:] != boundaries[:-1]) + 1
    starts = np.concatenate((np.zeros(1, np.int64), turns, np.array([len(people)])))
    of = np.repeat(np.arange(len(turns) + 1, dtype=np.int32), np.diff(starts))
    found = [models.get(boundary) for boundary in boundaries[starts[:-1]].tolist()]
    present = [model for model in found if model is not None]
    if len(present) < len(found):
        raise RuntimeError("a sweep has customers at a boundary for which no population was delivered")
    return Chosen(present, of, starts, KINDS * of + lines_of(people.buyers))


def _rank(ranking: Ranking, chances: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the share of visitors with a lower score, in per cent with one digit; NaN if there is no sample."""
    if not len(ranking.values):
        return np.full(len(chances), np.nan, np.float32)
    place = ranking.below[np.searchsorted(ranking.values, chances)] * 100.0
    return _rounded(place, chances)


def _percentiles(
    models: Sequence[LinearModels], starts: NDArray[np.int64], chances: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Return the share of customers with a lower score, in per cent with one digit; 50 if there is no sample.

    The rows from ``starts[i]`` on are ranked among the customers of ``models[i]``.
    """
    below = np.full(len(chances), 50.0)
    bounds = starts.tolist()
    for model, start, stop in zip(models, bounds[:-1], bounds[1:], strict=True):
        if len(model.quantiles):
            places = model.quantiles.searchsorted(chances[start:stop])
            np.multiply(places, 100.0 / len(model.quantiles), out=below[start:stop])
    return _rounded(below, chances)


def _rounded(per_cent: NDArray[np.float64], chances: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.where(np.isnan(chances), np.nan, np.round(per_cent, 1)).astype(np.float32)
