"""Renders scores as the hashes ``crm:score:{id}`` and the ranks ``crm:top:<outcome>``. Times are ISO 8601 in UTC."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from contracts.blocks import no_texts
from contracts.ids import Texts, as_texts
from contracts.model_blocks import OutcomeScores, Reasons, ScoredBlock
from contracts.outputs import Commands, HashBlock, HashWrites, Order
from contracts.stored import MERGED_FIELD, SCORE_PREFIX, VERSION_FIELD, top_key
from streams.profiles.segments import LAPSED, LIFECYCLES, SEGMENTS
from streams.publish import resp
from streams.publish.clearing import behind, clearing, expiring, order_of, time_texts
from streams.publish.reasons import signed_features
from streams.publish.wording import reason_lines, reason_texts


def joined_numbers(parts: Sequence[OutcomeScores]) -> OutcomeScores:
    """Scores of several blocks as one, with the features of reasons, and without ``usual``, which only phrases need."""
    return _joined(parts, [signed_features(part.reasons) for part in parts], np.empty((0, 0)), np.empty(0, np.int32))


def joined_scores(parts: Sequence[OutcomeScores]) -> OutcomeScores:
    """Scores of several blocks as one; equal rows of ``usual`` are kept once."""
    places: dict[bytes, int] = {}
    usual: list[NDArray[np.float64]] = []
    usual_of = []
    for part in parts:
        at = np.empty(len(part.usual), np.int32)
        for row, means in enumerate(part.usual):
            place = places.setdefault(means.tobytes(), len(usual))
            if place == len(usual):
                usual.append(means)
            at[row] = place
        usual_of.append(at[part.usual_of])
    reasons = [part.reasons for part in parts]
    return _joined(parts, reasons, np.array(usual).reshape(len(usual), -1), np.concatenate(usual_of))


def _joined(
    parts: Sequence[OutcomeScores], reasons: Sequence[Reasons], usual: NDArray[np.float64], usual_of: NDArray[np.int32]
) -> OutcomeScores:
    """Scores of several blocks as one, with these reasons."""
    return OutcomeScores(
        np.concatenate([part.probability for part in parts]),
        np.concatenate([part.percentile for part in parts]),
        np.concatenate(reasons),
        usual,
        usual_of,
    )


@dataclass(frozen=True)
class ScoreHashes:
    """Scores of people, with n rows. ``gone`` people lose their rank; ``visitors`` have none, and their hashes expire.

    ``clear`` marks rows for which fields of earlier writes may have to be removed, because Redis may be behind.
    """

    ids: Texts
    versions: NDArray[np.int64]
    as_of: NDArray[np.int64]
    models: Texts
    segment: NDArray[np.int8]
    lifecycle: NDArray[np.int8]
    gone: NDArray[np.bool_]
    visitors: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    outcomes: tuple[str, ...]
    answers: tuple[OutcomeScores, ...]
    expires_seconds: int
    live: bool
    guarded: bool
    oldest: int
    order: Order
    prefix: ClassVar[str] = SCORE_PREFIX

    def take(self, at: NDArray[np.int64]) -> Self:
        """The rows at some positions."""
        arrays: dict[str, Any] = {name: getattr(self, name)[at] for name in _ARRAYS}
        return replace(self, **arrays, answers=tuple(each.take(at) for each in self.answers))

    def fits(self, other: HashBlock) -> bool:
        """Whether the other has scores of the same outcomes."""
        return isinstance(other, ScoreHashes) and self.outcomes == other.outcomes

    def join(self, others: Sequence[Self]) -> Self:
        """The rows of all."""
        if not others:
            return self
        every = (self, *others)
        arrays: dict[str, Any] = {name: np.concatenate([getattr(each, name) for each in every]) for name in _ARRAYS}
        answers = tuple(joined_scores(parts) for parts in zip(*(each.answers for each in every), strict=True))
        return replace(self, **arrays, answers=answers)

    def texts(self) -> HashWrites:
        """The rows as text."""
        columns: dict[str, Sequence[str | None]] = {
            "as_of": time_texts(self.as_of),
            "model_version": self.models.tolist(),
            "segment": [SEGMENTS[at] for at in self.segment.tolist()],
            "lifecycle": [LIFECYCLES[at] for at in self.lifecycle.tolist()],
        }
        for name, answers in zip(self.outcomes, self.answers, strict=True):
            chances = answers.probability.tolist()
            columns[name] = [_digits(value, 6) for value in chances]
            columns[f"{name}_percentile"] = [
                None if chance != chance else _digits(value, 1)  # noqa: PLR0124 - only NaN differs from itself
                for chance, value in zip(chances, answers.percentile.tolist(), strict=True)
            ]
            lines = reason_lines(answers.keys, answers.usual, answers.usual_of)
            columns[f"{name}_reasons"] = [
                None if chance != chance else line  # noqa: PLR0124
                for chance, line in zip(chances, lines, strict=True)
            ]
        if self.visitors.any():
            columns[MERGED_FIELD] = [None] * len(self.ids)
        expires = np.where(self.visitors, self.expires_seconds, 0).tolist()
        return HashWrites(
            SCORE_PREFIX, self.ids.tolist(), self.versions, columns, self._cleared().tolist(), expires, self._ranks()
        )

    def commands(self) -> Commands:
        """The rows as commands of Redis."""
        ids = pa.array(self.ids, pa.string())
        key = resp.framed_column(ids, f"{SCORE_PREFIX}:{{", "}")
        fields, words, absent = self._fields(key)
        absent |= {MERGED_FIELD: self.visitors} if self.visitors.any() else {}
        heads = pa.array([resp.head(2 + 2 * count, "HSET") for count in range(5 + 3 * len(self.outcomes) + 1)])
        cleared, removals = clearing(key, absent, self._cleared())
        expired, expiries = expiring(key, self.visitors, self.expires_seconds)
        whole = resp.join(heads.take(pa.array(words)), key, *fields, *cleared, *expired)
        pieces: list[memoryview | bytes] = [resp.bytes_of(whole)]
        answers = len(ids) + removals + expiries
        ranked = ~self.visitors
        if ranked.any():
            some = ids if ranked.all() else ids.filter(pa.array(ranked))
            for name, scores in self._ranks().items():
                more, count = resp.rank_commands(top_key(name), some, scores[ranked])
                pieces, answers = [*pieces, *more], answers + count
        return Commands(pieces, answers)

    def _fields(self, key: pa.StringArray) -> tuple[list[resp.Part], NDArray[np.int64], dict[str, NDArray[np.bool_]]]:
        """Return the fields of the hashes, the number of fields per hash, and which hashes lack each field."""
        fields: list[resp.Part] = [
            resp.count_field(VERSION_FIELD, self.versions),
            resp.time_field("as_of", self.as_of),
            resp.text_field("model_version", pa.array(self.models, pa.string())),
            resp.coded_field("segment", self.segment, SEGMENTS),
            resp.coded_field("lifecycle", self.lifecycle, LIFECYCLES),
        ]
        words = np.full(len(key), len(fields))
        absent: dict[str, NDArray[np.bool_]] = {}
        for name, answers in zip(self.outcomes, self.answers, strict=True):
            asked = ~np.isnan(answers.probability)
            placed = asked & ~np.isnan(answers.percentile)
            texts = reason_texts(answers.keys, answers.usual, answers.usual_of)
            fields += [
                resp.chosen(asked, resp.share_field(name, answers.probability)),
                resp.chosen(placed, resp.per_cent_field(f"{name}_percentile", answers.percentile)),
                resp.chosen(asked, resp.text_field(f"{name}_reasons", texts)),
            ]
            words += 2 * asked + placed
            absent |= {name: ~asked, f"{name}_percentile": ~placed, f"{name}_reasons": ~asked}
        return fields, words, absent

    def _cleared(self) -> NDArray[np.bool_]:
        """Return the rows whose absent fields are removed."""
        cleared = self.clear.copy()
        for answers in self.answers:
            cleared |= np.isnan(answers.percentile) & ~np.isnan(answers.probability)
        return cleared

    def _ranks(self) -> dict[str, NDArray[np.float64]]:
        out = self.gone | self.visitors
        if not out.any():
            return {name: each.probability for name, each in zip(self.outcomes, self.answers, strict=True)}
        return {
            name: np.where(out, np.nan, each.probability)
            for name, each in zip(self.outcomes, self.answers, strict=True)
        }


_ARRAYS: Final = ("ids", "versions", "as_of", "models", "segment", "lifecycle", "gone", "visitors", "clear")


def shown(block: ScoredBlock) -> NDArray[np.int64] | None:
    """Return the rows of a block to write to Redis; None means all.

    Live people, and customers restated after a catch-up, are all written. Of sweeps, and of visitors restated at a
    boundary, only rows that changed noticeably are written.
    """
    people = block.people
    every = people.kind == "live" or (people.kind == "restated" and not people.visitors) or block.notable.all()
    return None if every else np.flatnonzero(block.notable)


def score_hashes(block: ScoredBlock, expires_seconds: int) -> ScoreHashes:
    """The scores of all people of a block."""
    people = block.people
    entered = people.entered[people.entered > 0]
    return ScoreHashes(
        ids=as_texts(people.ids), versions=people.versions, as_of=people.as_of,
        models=np.array(block.model_versions, object)[block.model_of] if len(people) else no_texts(),
        segment=people.segment, lifecycle=people.lifecycle, gone=(people.lifecycle == LAPSED) | people.leaving,
        visitors=np.full(len(people), people.visitors), clear=np.full(len(people), behind(people)),
        outcomes=tuple(block.scores), answers=tuple(block.scores.values()),
        expires_seconds=expires_seconds, live=people.kind == "live", guarded=people.guarded,
        oldest=int(entered.min()) if people.kind == "live" and len(entered) else 0,
        order=order_of(people),
    )  # fmt: skip


def _digits(value: float, digits: int) -> str | None:
    return None if value != value else f"{value:.{digits}f}"  # noqa: PLR0124 - NaN
