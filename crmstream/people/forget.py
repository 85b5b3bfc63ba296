"""Forgets people: lists them, waits until the dataflow has removed them from its state, then erases their rows.

Order: the list first, so that nothing of them comes back; then the state, whose workers write rows and hashes; then the
stores. A death in between leaves the ids pending in the list: the next call goes on with them.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from contracts.errors import CrmError
from contracts.forgotten import Forgotten, change_forgotten, forgotten_path, microseconds, read_forgotten
from contracts.identity import EMAIL_ADDRESS, email_key, visitor_id
from contracts.settings import Settings
from crmstream.people.erase import erase_keys, erase_rows
from crmstream.people.lookup import Person, read_traits
from crmstream.people.record import Stores
from sinks.outbox_folder import waiting_in
from streams.recovery import outbox_folder, state_folder
from streams.state.files import files_in

MOST_SECONDS: Final = 300.0
"""How long the state may take to be written anew: a million customers take some ten seconds."""
LOOK_SECONDS: Final = 0.3
TEXT_TRAITS: Final = ("email", "phone", "name")
"""Traits that are looked for in rejected records, too."""
_SHORTEST: Final = 5
"""Shorter texts are in too many records of others."""
Told = Callable[[str], None]


class NotRemovedError(CrmError):
    """The dataflow has not removed people from its state in time."""


@dataclass(frozen=True)
class Erased:
    """What was erased: ids, rows by table, hashes."""

    ids: int
    rows: dict[str, int]
    hashes: int


def begin(settings: Settings, people: Sequence[Person], now: datetime) -> "Waiting":
    """List people as forgotten up to now and as pending, and let running workers restart; return what to wait for."""
    waiting = Waiting(settings, _state_files(settings))
    ids = {each for person in people for each in ids_of(person)}

    def change(forgotten: Forgotten) -> None:
        forgotten.add(ids, microseconds(now), now)
        forgotten.pending |= ids

    change_forgotten(forgotten_path(settings), change)
    return waiting


def ids_of(person: Person) -> list[str]:
    """Return the profile ids of a person, and the addresses that are customer ids as addresses too."""
    return [*dict.fromkeys([*person.ids, *(email_key(each) for each in person.customers if is_address(each))])]


def is_address(text: str) -> bool:
    """Return whether a text is an e-mail address."""
    return EMAIL_ADDRESS.fullmatch(text) is not None


def names_for(asked: str) -> list[str]:
    """Return the profile ids that a text may be, of somebody of whom nothing is known."""
    return [asked, visitor_id(asked), *([email_key(asked)] if is_address(asked) else [])]


def pending_person(settings: Settings) -> Person | None:
    """Return the people whose erasure was begun and not finished, as one; None if there are none."""
    pending = sorted(read_forgotten(forgotten_path(settings)).pending)
    return Person(pending[0], pending) if pending else None


def texts_of(client: Client, people: Iterable[Person]) -> list[str]:
    """Return traits of people by which rejected records are found that name no id of theirs."""
    found = [
        trait["value"] for person in people for trait in read_traits(client, person) if trait["trait"] in TEXT_TRAITS
    ]
    return [each for each in found if isinstance(each, str) and len(each) >= _SHORTEST]


def erase(settings: Settings, stores: Stores, texts: Sequence[str], told: Told) -> Erased:
    """Erase all pending people from the stores; they stay pending. ``texts`` are looked for in rejected records."""
    person = pending_person(settings)
    if person is None:
        return Erased(0, {}, 0)
    rows = erase_rows(stores.clickhouse, person, lambda table: told(f"ClickHouse: {table}"), texts)
    told("Redis")
    return Erased(len(person.ids), rows, erase_keys(stores.redis, person.ids, settings))


def finish(settings: Settings) -> None:
    """Note that nothing is pending any more: the list has no id in clear then."""

    def change(forgotten: Forgotten) -> None:
        forgotten.pending = frozenset()

    change_forgotten(forgotten_path(settings), change, quietly=True)


@dataclass(frozen=True)
class Waiting:
    """The files of the state from before the request: workers that have started since write others and delete these."""

    settings: Settings
    older: set[Path]

    def wait(self, most_seconds: float = MOST_SECONDS) -> None:
        """Wait until the state is written anew, and what then waited for ClickHouse is sent.

        Raises :class:`NotRemovedError` if that takes too long.
        """
        deadline = time.monotonic() + most_seconds
        self._until(lambda: not _state_files(self.settings) & self.older, deadline)
        unsent = waiting_in(outbox_folder(self.settings))
        self._until(lambda: not unsent & waiting_in(outbox_folder(self.settings)), deadline)

    def _until(self, condition: Callable[[], bool], deadline: float) -> None:
        while not condition():
            if time.monotonic() > deadline:
                raise NotRemovedError(
                    "The dataflow has not removed them from its state in time; nothing is erased yet. "
                    "`crmstream status` shows how it is; run `crmstream forget --pending` when it is well."
                )
            time.sleep(LOOK_SECONDS)


def _state_files(settings: Settings) -> set[Path]:
    folder = state_folder(settings)
    return {bucket / str(file) for bucket in folder.glob("*/*") if bucket.is_dir() for file in files_in(bucket)}
