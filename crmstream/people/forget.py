"""Forgets people: lists them, waits until the dataflow has removed them from its state, then erases their rows.

Order: the list first, so that nothing of them comes back; then the state, whose workers write rows and hashes; then the
stores. A death in between leaves the ids pending in the list: the next call goes on with them.
"""

import time
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from contracts.errors import CrmError
from contracts.forgotten import Forgotten, change_forgotten, forgotten_path, microseconds, read_forgotten
from contracts.identity import EMAIL_ADDRESS, email_key, visitor_id
from contracts.settings import Settings
from crmstream.identity.lookup import UnknownIdentityError, owners_of, read_links
from crmstream.people.erase import erase_keys, erase_rows
from crmstream.people.lookup import PHONE, Person, find_person, read_traits
from crmstream.stores import Stores
from sinks.outbox_folder import waiting_in
from streams.recovery import outbox_folder, state_folder
from streams.state.files import FileName, files_in

STILL_SECONDS: Final = 300.0
"""How long nothing may change while the state is written anew."""
LOOK_SECONDS: Final = 0.3
CONTACTS: Final = ("email", "phone")
"""Traits that are looked for in rejected records, too. Names are not: other people have the same."""
_SHORTEST: Final = 7
"""Shorter texts are in too many records of others."""
_ROUNDS: Final = 3
"""How often ids are looked for that were linked meanwhile."""
_BLOCK: Final = 200
Told = Callable[[str], None]


class NotRemovedError(CrmError):
    """The dataflow has not removed people from its state in time."""


@dataclass(frozen=True)
class Erased:
    """What was erased: ids, rows by table, hashes."""

    ids: int
    rows: dict[str, int]
    hashes: int


def forget(
    settings: Settings, stores: Stores, people: Sequence[Person], contacts: Sequence[str], work: "Work"
) -> Erased:  # fmt: skip
    """Forget people, and those whose erasure was begun before and not finished.

    ``contacts`` are e-mail addresses and phone numbers that were asked for. Raises :class:`NotRemovedError` if running
    workers do not remove them from the state; nothing is erased then, and the next call goes on.
    """
    before = pending_person(settings)
    texts = [*contacts, *contacts_of(stores, [*people, *([before] if before else [])])]
    waiting = begin(settings, people, work.now)
    for _ in range(_ROUNDS if work.running else 0):
        work.told("the dataflow restarts, and removes them from its state")
        waiting.wait()
        more = linked_to(stores, waiting.ids)
        if not more:
            break
        waiting = begin(settings, [Person(more[0], more)], work.now)
    person = Person(min(waiting.ids, default=""), sorted(waiting.ids))
    rows = erase_rows(stores.clickhouse, person, lambda table: work.told(f"ClickHouse: {table}"), texts)
    work.told("Redis")
    hashes = erase_keys(stores.redis, person.ids, settings)
    if work.running:
        finish(settings, waiting.ids)
    return Erased(len(person.ids), rows, hashes)


@dataclass(frozen=True)
class Work:
    """How to do it: whether workers run, the time of the request, and who is told what is done next."""

    running: bool
    now: datetime
    told: Told


def begin(settings: Settings, people: Sequence[Person], now: datetime) -> "Waiting":
    """List people as forgotten up to now and as pending, and let running workers restart; return what to wait for."""
    runs = {file.run for file in _state_files(settings).values()}
    ids = {each for person in people for each in ids_of(person)}

    def change(forgotten: Forgotten) -> None:
        forgotten.pending |= ids
        forgotten.add(forgotten.pending, microseconds(now), now)

    return Waiting(settings, runs, change_forgotten(forgotten_path(settings), change).pending)


def ids_of(person: Person) -> list[str]:
    """Return the profile ids of a person, and the addresses that are customer ids as addresses too."""
    return [*dict.fromkeys([*person.ids, *(email_key(each) for each in person.customers if is_address(each))])]


def is_address(text: str) -> bool:
    """Return whether a text is an e-mail address."""
    return EMAIL_ADDRESS.fullmatch(text) is not None


def person_of(stores: Stores, asked: str) -> Person:
    """Return the person who has an id. An unknown id is taken for all profile ids that the text may be."""
    try:
        return find_person(stores.clickhouse, stores.redis, asked)
    except UnknownIdentityError:
        return Person(asked, _names_for(asked))


def _names_for(asked: str) -> list[str]:
    """Return the profile ids that an unknown text may be."""
    return [asked, visitor_id(asked), *([email_key(asked)] if is_address(asked) else [])]


def pending_person(settings: Settings) -> Person | None:
    """Return the people whose erasure was begun and not finished, as one; None if there are none."""
    pending = sorted(read_forgotten(forgotten_path(settings)).pending)
    return Person(pending[0], pending) if pending else None


def contacts_of(stores: Stores, people: Iterable[Person]) -> list[str]:
    """Return traits of people by which rejected records are found that name no id of theirs."""
    traits = [trait for person in people for trait in read_traits(stores.clickhouse, person)]
    found = [trait["value"] for trait in traits if trait["trait"] in CONTACTS]
    return [each for each in found if isinstance(each, str) and is_contact(each)]


def is_contact(text: str) -> bool:
    """Return whether a text is an e-mail address or a phone number, long enough to be of one person only."""
    return len(text) >= _SHORTEST and (is_address(text) or PHONE.fullmatch(text) is not None)


def linked_to(stores: Stores, ids: Set[str]) -> list[str]:
    """Return ids that belong to people since they were looked up, as ClickHouse has it now."""
    found: set[str] = set()
    every = sorted(ids)
    for start in range(0, len(every), _BLOCK):
        named = {link.identity for link in read_links(stores.clickhouse, [], every[start : start + _BLOCK])} - ids
        owners = owners_of(read_links(stores.clickhouse, sorted(named), [])) if named else {}
        found |= {identity for identity, owner in owners.items() if identity in named and owner in ids}
    return sorted(found)


def finish(settings: Settings, ids: Set[str]) -> None:
    """Note that ids are not pending any more: the list does not have them in clear then."""

    def change(forgotten: Forgotten) -> None:
        forgotten.pending -= ids

    change_forgotten(forgotten_path(settings), change, quietly=True)


@dataclass(frozen=True)
class Waiting:
    """The runs that wrote the state before the request, and all pending ids.

    The workers of a later run write their own files, and delete those of earlier runs.
    """

    settings: Settings
    runs: Set[str]
    ids: frozenset[str]

    def wait(self, still_seconds: float = STILL_SECONDS) -> None:
        """Wait until the state is written anew, and what then waited for ClickHouse is sent.

        Raises :class:`NotRemovedError` if nothing changes for ``still_seconds``.
        """
        self._until_none(lambda: {path for path, file in _state_files(self.settings).items() if file.run in self.runs},
                         still_seconds)  # fmt: skip
        unsent = waiting_in(outbox_folder(self.settings))
        self._until_none(lambda: unsent & waiting_in(outbox_folder(self.settings)), still_seconds)

    def _until_none(self, left: Callable[[], Set[object]], still_seconds: float) -> None:
        count, deadline = -1, 0.0
        while found := left():
            if len(found) != count:
                count, deadline = len(found), time.monotonic() + still_seconds
            if time.monotonic() > deadline:
                raise NotRemovedError(
                    "The dataflow has not removed them from its state; nothing is erased yet. "
                    "`crmstream status` shows how it is; run `crmstream forget --pending` when it is well."
                )
            time.sleep(LOOK_SECONDS)


def _state_files(settings: Settings) -> dict[Path, FileName]:
    buckets = [bucket for bucket in state_folder(settings).glob("*/*") if bucket.is_dir()]
    return {bucket / str(file): file for bucket in buckets for file in files_in(bucket)}
