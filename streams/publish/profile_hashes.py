"""Renders profiles as the hashes ``crm:profile:{id}``, and replaces or removes the hashes of departed visitors."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from contracts.blocks import Departures, PeopleBlock, RowArray
from contracts.ids import Texts, as_texts
from contracts.outputs import Commands, HashBlock, HashWrites, Order
from contracts.stored import MERGED_FIELD, PROFILE_PREFIX, SCORE_PREFIX, VERSION_FIELD
from streams.profiles.rows import times_of, versions_of
from streams.publish import resp
from streams.publish.clearing import behind, clearing, expiring, order_of, time_texts

TIMES: Final = ("first_seen", "last_seen", "first_order", "last_order")
COUNTS: Final = (
    "events", "orders", "items", "refunds", "web_events", "sessions", "product_views", "carts", "checkouts", "tickets",
)  # fmt: skip
MONEY: Final = ("revenue", "refunded")


@dataclass(frozen=True)
class ProfileHashes:
    """Profiles of people, with n rows; money is in the base currency (None: undecided). Visitors' hashes expire."""

    ids: Texts
    versions: NDArray[np.int64]
    rows: RowArray
    visitors: NDArray[np.bool_]
    clear: NDArray[np.bool_]
    currency: str | None
    expires_seconds: int
    live: bool
    guarded: bool
    oldest: int = 0
    order: Order = "newest"
    prefix: ClassVar[str] = PROFILE_PREFIX

    def take(self, at: NDArray[np.int64]) -> Self:
        """The rows at some positions."""
        arrays: dict[str, Any] = {name: getattr(self, name)[at] for name in _ARRAYS}
        return replace(self, **arrays)

    def fits(self, other: HashBlock) -> bool:
        """All profiles can be rendered together."""
        return isinstance(other, ProfileHashes)

    def join(self, others: Sequence[Self]) -> Self:
        """The rows of all."""
        every = (self, *others)
        arrays: dict[str, Any] = {name: np.concatenate([getattr(each, name) for each in every]) for name in _ARRAYS}
        return replace(self, **arrays) if others else self

    def texts(self) -> HashWrites:
        """The rows as text."""
        rows = self.rows
        columns: dict[str, Sequence[str | None]] = {name: time_texts(times_of(rows[name])) for name in TIMES}
        columns |= {name: list(map(str, rows[name].tolist())) for name in COUNTS}
        columns |= {name: list(map(resp.money_text, rows[name].tolist())) for name in MONEY}
        columns["currency"] = [self.currency] * len(rows)
        if self.visitors.any():
            columns[MERGED_FIELD] = [None] * len(rows)
        expires = np.where(self.visitors, self.expires_seconds, 0).tolist()
        cleared = self.clear.tolist()
        return HashWrites(PROFILE_PREFIX, self.ids.tolist(), self.versions, columns, cleared, expires)

    def commands(self) -> Commands:
        """The rows as commands of Redis."""
        rows, key = self.rows, resp.framed_column(pa.array(self.ids, pa.string()), f"{PROFILE_PREFIX}:{{", "}")
        currency = "" if self.currency is None else resp.framed("currency") + resp.framed(self.currency)
        fields: list[resp.Part] = [resp.count_field(VERSION_FIELD, self.versions), currency]
        words, absent = np.full(len(key), 3 if currency else 2), {}
        for name in TIMES:
            times = times_of(rows[name])
            there = resp.known(times)
            fields.append(resp.chosen(there, resp.time_field(name, np.where(there, times, 0))))
            words += there
            absent[name] = ~there
        words += len(COUNTS) + len(MONEY) - 1
        absent["currency"] = np.full(len(key), not currency)
        absent |= {MERGED_FIELD: self.visitors} if self.visitors.any() else {}
        fields += [resp.count_field(name, rows[name]) for name in COUNTS]
        fields += [resp.money_field(name, rows[name]) for name in MONEY]
        heads = pa.array([resp.head(2 + 2 * count, "HSET") for count in range(int(words.max(initial=0)) + 1)])
        cleared, removals = clearing(key, absent, self.clear)
        expired, expiries = expiring(key, self.visitors, self.expires_seconds)
        whole = resp.join(heads.take(pa.array(words)), key, *fields, *cleared, *expired)
        return Commands([resp.bytes_of(whole)], len(key) + removals + expiries)


_ARRAYS: Final = ("ids", "versions", "rows", "visitors", "clear")


def profile_hashes(people: PeopleBlock, currency: str | None, expires_seconds: int) -> ProfileHashes:
    """The profiles of live or restated people."""
    if people.rows is None:
        raise ValueError(f"a block of {people.kind} people has no profile rows")
    return ProfileHashes(
        as_texts(people.ids), versions_of(people.rows["slot"], people.rows), people.rows,
        np.full(len(people), people.visitors), np.full(len(people), behind(people)), currency, expires_seconds,
        people.kind == "live", people.guarded, order=order_of(people),
    )  # fmt: skip


@dataclass(frozen=True)
class DepartedHashes:
    """Hashes of departed visitors: each is replaced by a pointer to its owner, or removed if the owner is ''."""

    prefix: str
    fields: tuple[str, ...]
    """The fields that a visitor's hash may have."""
    ids: Texts
    persons: Texts
    versions: NDArray[np.int64]
    expires_seconds: int
    guarded: bool
    live: bool = True
    oldest: int = 0
    order: Order = "reset"

    def take(self, at: NDArray[np.int64]) -> Self:
        """The rows at some positions."""
        return replace(self, ids=self.ids[at], persons=self.persons[at], versions=self.versions[at])

    def fits(self, other: HashBlock) -> bool:
        """Whether the other are hashes of the same kind."""
        return isinstance(other, DepartedHashes) and (self.prefix, self.fields) == (other.prefix, other.fields)

    def join(self, others: Sequence[Self]) -> Self:
        """The rows of all."""
        every = (self, *others)
        arrays: dict[str, Any] = {
            name: np.concatenate([getattr(each, name) for each in every]) for name in ("ids", "persons", "versions")
        }
        return replace(self, **arrays) if others else self

    def texts(self) -> HashWrites:
        """The rows as text."""
        count = len(self.ids)
        columns: dict[str, Sequence[str | None]] = {name: [None] * count for name in self.fields}
        persons = self.persons.tolist()
        columns[MERGED_FIELD] = [person or None for person in persons]
        expires = [self.expires_seconds if person else -1 for person in persons]
        return HashWrites(self.prefix, self.ids.tolist(), self.versions, columns, [True] * count, expires)

    def commands(self) -> Commands:
        """The rows as commands of Redis."""
        key = resp.framed_column(pa.array(self.ids, pa.string()), f"{self.prefix}:{{", "}")
        stays = self.persons != ""
        count = int(np.count_nonzero(stays))
        if count == len(key):
            whole = self._pointers(key)
        else:
            whole = resp.join(resp.head(2, "DEL"), key)
            whole = pc.if_else(pa.array(stays), self._pointers(key), whole) if count else whole
        return Commands([resp.bytes_of(whole)], len(key) + 2 * count)

    def _pointers(self, key: pa.StringArray) -> pa.StringArray:
        """Return commands that replace all rows by pointers."""
        persons = pa.array(self.persons, pa.string())
        return resp.join(
            resp.head(6, "HSET"), key, resp.count_field(VERSION_FIELD, self.versions),
            resp.text_field(MERGED_FIELD, persons), resp.head(2 + len(self.fields), "HDEL"), key,
            "".join(map(resp.framed, self.fields)), resp.head(3, "EXPIRE"), key,
            resp.framed(str(self.expires_seconds)),
        )  # fmt: skip


def departed_hashes(departures: Departures, outcomes: Sequence[str], expires_seconds: int) -> list[DepartedHashes]:
    """Return the writes of scores and profiles that replace or remove the hashes of departed visitors."""
    scores = [name for each in outcomes for name in (each, f"{each}_percentile", f"{each}_reasons")]
    fields = {
        SCORE_PREFIX: ("as_of", "model_version", "segment", "lifecycle", *scores),
        PROFILE_PREFIX: (*TIMES, *COUNTS, *MONEY, "currency"),
    }
    return [
        DepartedHashes(prefix, names, departures.ids, departures.persons, departures.versions, expires_seconds,
                       departures.guarded)
        for prefix, names in fields.items()
    ]  # fmt: skip
