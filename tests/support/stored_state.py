"""The stored state in ``tests/fixtures``: unpacked, and read as the steps of a worker would read it."""

import pickle
import sqlite3
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from support.stored_log import FIXTURES

from contracts.machine import Machine
from contracts.settings import Settings
from online_models.scoring import Score
from online_models.trainer import Learn
from streams.dataflow import customers_policy, identity_policy, labeller, models_policy
from streams.identity.addresses import Addresses
from streams.identity.devices import Devices
from streams.profiles.customers import Customers
from streams.publish.reasons import explain, explain_briefly
from streams.recovery import STATE
from streams.state.restore import restore
from streams.state.token import Place


class Bucket(NamedTuple):
    """A bucket of a step, restored, with the place of its files."""

    step: str
    place: Place
    machine: Machine[Any, Any]


def unpack_state(version: int, folder: Path) -> Path:
    """Unpack the state of a version into a folder; return the recovery store."""
    with tarfile.open(FIXTURES / f"state-{version}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "recovery"


def move_to(recovery: Path, cluster_id: str) -> None:
    """Let stored positions belong to the log of another Kafka cluster, which must hold the same records."""
    for file in recovery.glob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as store, store:
            rows = store.execute("SELECT rowid, ser_change FROM snaps WHERE step_id LIKE '%read-events%'").fetchall()
            for row, change in rows:
                moved = pickle.dumps(pickle.loads(change) | {"cluster_id": cluster_id})
                store.execute("UPDATE snaps SET ser_change = ? WHERE rowid = ?", (moved, row))


def makers(settings: Settings) -> dict[str, Callable[[], Machine[Any, Any]]]:
    """What makes a new machine of each step."""
    identity, models = identity_policy(settings), models_policy(settings)
    return {
        "keep-devices": partial(Devices, identity),
        "keep-addresses": partial(Addresses, identity),
        "keep-customers": partial(Customers, customers_policy(settings), labeller(settings)),
        "learn": partial(Learn, models),
        "score": partial(Score, models, explain, explain_briefly),
    }


def tokens(recovery: Path) -> Iterator[tuple[str, Place]]:
    """Yield the newest token of each bucket, with the name of its step. The sources of the log have other ones."""
    newest: dict[tuple[str, str], tuple[int, Any]] = {}
    for file in recovery.glob("*.sqlite3"):
        with closing(sqlite3.connect(file)) as store:
            epoch = store.execute("SELECT MIN(worker_frontier) FROM fronts WHERE ex_num = "
                                  "(SELECT MAX(ex_num) FROM fronts)").fetchone()[0]  # fmt: skip
            rows = store.execute("SELECT step_id, state_key, snap_epoch, ser_change FROM snaps").fetchall()
            for step, key, taken, change in rows:
                if change is not None and (epoch is None or taken < epoch):
                    newest[step, key] = max(newest.get((step, key), (-1, None)), (taken, change))
    for (step, _), (_, change) in sorted(newest.items()):
        token = pickle.loads(change)
        if isinstance(token, dict) and "bases" in token:
            yield step.split(".")[1], Place.of_plain(token)


def buckets(recovery: Path, settings: Settings) -> Iterator[Bucket]:
    """Restore all buckets."""
    make = makers(settings)
    for step, place in tokens(recovery):
        machine = make[step]()
        restore(recovery / STATE / step / place.bucket, step, place, machine.parts())
        yield Bucket(step, place, machine)


def empty_parts(recovery: Path, settings: Settings) -> set[str]:
    """Return the parts that are as new in all buckets, as step/part, and the columns that are empty in all buckets."""
    filled, every = set(), set()
    make = makers(settings)
    for step, _, machine in buckets(recovery, settings):
        new = contents(make[step]())
        for part, columns in contents(machine).items():
            names = {f"{step}/{part}.{column}": values for column, values in columns.items()}
            every |= {f"{step}/{part}", *names}
            filled |= {name for name, values in names.items() if values}
            filled |= {f"{step}/{part}"} if columns != new[part] else set()
    return every - filled


def contents(machine: Machine[Any, Any]) -> dict[str, dict[str, Any]]:
    """All parts as they can be compared: sets of hashes are in the order of an index, which says nothing."""
    return {name: _comparable(part.whole()) for name, part in machine.parts().items()}


def _comparable(columns: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(columns)
    if "hashes" in found:
        order = np.argsort(found["hashes"])
        found |= {name: found[name][order] for name in ("hashes", "seconds") if name in found}
    return {name: column.tobytes() if isinstance(column, np.ndarray) else bytes(column)
            for name, column in found.items()}  # fmt: skip
