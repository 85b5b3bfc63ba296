"""State of an older release is read, and a worker or a rebuild that is killed inside its work changes nothing.

Kills come at named places, unlike those of ``test_crashes.py``: between the files of a snapshot, in a base, while old
files are deleted, between two slices of a sweep. The log is that of the stored state in ``tests/fixtures``.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from support.flow import Log
from support.one_worker import KILLED, OneWorker
from support.servers import fresh_servers, lose_results
from support.stored_log import PARTITIONS, SETTINGS, stored_log, write
from support.stored_state import move_to, tokens, unpack_state
from support.tables import Written, differences, read_written, without

from contracts.settings import Settings
from crmstream.stack.endpoints import Endpoints
from sinks.clients import clickhouse_client
from streams.recovery import LAYOUT_FILE, STATE, VERSION, recovery_folder
from streams.state.migrations import VERSION as STATE_VERSION

OLDER = 5
"""The version of the stored state in ``tests/fixtures``."""
LINKED_AGAIN = b"a-000131"
"""A device of that state whose Identify came again after its Unlink: it was linked again then, and is not any more."""
SLOWLY = {"epoch_seconds": 0.1, "replay_epoch_days": 2, "max_batch_events": 25, "live_backlog_events": 1_000_000}
"""Many epochs, and all sweeps are published, so they are made in slices."""
APPEND, TOKEN = "streams.state.store:BucketStore._append", "streams.state.token:Token.__reduce__"
BASE, NAMED, DELETE = "streams.state.files:write", "streams.state.files:sync", "streams.state.cleanup:_remove"
SLICE = "streams.profiles.pending:PendingSweep.advance"
KILLS = (f"{APPEND}:45", f"{SLICE}:15", f"{TOKEN}:13", f"{BASE}:6", f"{DELETE}:3", f"{NAMED}:3")
New = Callable[..., Settings]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoints]:
    """Servers of their own, with empty topics."""
    with fresh_servers(tmp_path_factory.mktemp("servers"), PARTITIONS) as running:
        yield running


@pytest.fixture(scope="module")
def new(servers: Endpoints, tmp_path_factory: pytest.TempPathFactory) -> New:
    """Makes the settings of a fresh installation."""
    numbers = count(1)

    def make(**changes: object) -> Settings:
        number = next(numbers)
        return Settings(**{  # type: ignore[arg-type]
            **SETTINGS, "data_dir": tmp_path_factory.mktemp("installation"),
            "kafka_bootstrap_servers": servers.kafka, "clickhouse_url": servers.clickhouse_url,
            "clickhouse_database": f"crm_{number}", "redis_url": servers.redis_url.replace("/0", f"/{number}"),
            **changes,
        })  # fmt: skip

    return make


@pytest.fixture(scope="module")
def begun(servers: Endpoints, new: New) -> Settings:
    """An installation that has read the log up to where it was when the older state was stored."""
    settings, log = new(), Log(servers.kafka, PARTITIONS)
    write(servers.kafka, (sent for sent in stored_log() if not sent.later))
    run_to_the_end(OneWorker(settings), log)
    return settings


@pytest.fixture(scope="module")
def log(servers: Endpoints, begun: Settings) -> Log:
    """The whole log."""
    write(servers.kafka, (sent for sent in stored_log() if sent.later))
    return Log(servers.kafka, PARTITIONS)


@pytest.fixture(scope="module")
def complete(log: Log, new: New) -> tuple[Settings, Written]:
    """An installation that has read the whole log undisturbed, and what it wrote."""
    settings = new()
    run_to_the_end(OneWorker(settings), log)
    return settings, read_written(settings)


def run_to_the_end(worker: OneWorker, log: Log) -> None:
    """Let a worker read everything."""
    log.forget_progress()
    with worker:
        worker.start()
        worker.drain(log)
        worker.stop()


def test_the_log_is_worth_comparing(complete: tuple[Settings, Written]) -> None:
    written = complete[1]
    for table in ("web_events", "transactions", "customers", "identity_links", "crm:profile:*"):
        assert written.count(table) > 30, table
    assert written.count("customer_daily") > 1_000
    assert written.count("model_quality") > 20


def test_state_of_an_older_release_is_read(
    servers: Endpoints, begun: Settings, log: Log, complete: tuple[Settings, Written]
) -> None:
    """The tables hold the older part of the log; everything else comes from the state of that release.

    That state was made on another processor, whose sums may differ in the last bit; so may the digests of models.
    """
    recovery = recovery_folder(begun)
    shutil.rmtree(recovery)
    unpack_state(OLDER, recovery.parent)
    move_to(recovery, AdminClient({"bootstrap.servers": servers.kafka}).list_topics(timeout=10).cluster_id)
    assert json.loads((recovery / LAYOUT_FILE).read_text())[VERSION] == OLDER
    worker = OneWorker(begun)
    told = len(worker.told())
    run_to_the_end(worker, log)
    lanes = [line for line in worker.told()[told:].splitlines() if " streams.journal partition " in line]
    assert lanes
    assert all("resumes crm-" in line for line in lanes), lanes
    assert json.loads((recovery / LAYOUT_FILE).read_text())[VERSION] == STATE_VERSION
    found = differences(*(rounded(without(each, LINKED_AGAIN)) for each in (complete[1], read_written(begun))))
    assert not found, "\n".join(found)


def rounded(written: Written) -> Written:
    """With the figures of models rounded to nine digits, and without their digests, which are last in each line."""
    lines = [
        re.sub(rb"-?\d+\.\d+(e-?\d+)?", lambda found: b"%.9g" % float(found[0]), line.rpartition(b"\t")[0])
        for line in written.lines["model_quality"]
    ]
    return replace(written, lines=written.lines | {"model_quality": lines})


def test_a_worker_that_is_killed_inside_its_work_and_loses_files_changes_nothing(
    log: Log, complete: tuple[Settings, Written], new: New
) -> None:
    """In a snapshot, a base, a deletion, a sweep. Lost or damaged bases are noticed, and older ones used."""
    settings = new(**SLOWLY)
    log.forget_progress()
    with OneWorker(settings) as worker:
        for kill in (*KILLS, f"{SLICE}:25"):
            worker.start(kill)
            worker.dies()
        assert not log.drained()
        spoiled = spoil_newest_bases(recovery_folder(settings))
        assert len(spoiled) > 3
        worker.start()
        worker.drain(log)
        worker.stop()
        told = worker.told().splitlines()
    for file in spoiled:
        assert any(str(file) in line and "an older copy gives the same state" in line for line in told), file
    found = differences(complete[1], read_written(settings))
    assert not found, "\n".join(found)


def spoil_newest_bases(recovery: Path) -> list[Path]:
    """Delete, cut off or overwrite the newest base of each bucket that has two; return them."""
    spoiled = []
    for step, place in tokens(recovery):
        if len(place.bases) == 2 and place.bases[0][0]:
            file = recovery / STATE / step / place.bucket / place.bases[0][0]
            data = file.read_bytes()
            file.unlink()
            if len(spoiled) % 3:
                file.write_bytes(data[:-9] if len(spoiled) % 3 == 1 else data[:-9] + b"x" * 9)
            spoiled.append(file)
    return spoiled


def test_a_rebuild_that_is_killed_at_any_moment_changes_nothing(
    log: Log, complete: tuple[Settings, Written], servers: Endpoints
) -> None:
    """The last test: it deletes the older part of the log."""
    settings, expected = complete[0].model_copy(update=SLOWLY), complete[1]
    log.forget_progress()
    log.delete_older_part(2 / 3)
    client = clickhouse_client(servers.clickhouse_url, settings.clickhouse_database)
    assert settings.redis_url is not None
    lose_results(client, settings.redis_url)
    rebuild = ("rebuild", "--from-warehouse", "--yes")
    with OneWorker(settings) as worker:
        for place in ("save_ends", "_forget_positions", "move_aside"):
            assert worker.run(*rebuild, kill=f"crmstream.rebuilding:{place}:1") == KILLED, worker.told()
            assert recovery_folder(settings).exists()
        assert worker.run(*rebuild) == 0, worker.told()
        assert not recovery_folder(settings).exists()
        for place in ("streams.read.warehouse:PastTopic.take:20", f"{APPEND}:40", f"{SLICE}:10"):
            worker.start(place)
            worker.dies()
        assert not log.drained()
        worker.start()
        assert worker.run("rebuild", "--watch") == 0, worker.told()
        assert "records of the log are read" in worker.told()
        worker.drain(log)
        worker.stop()
    found = differences(expected, read_written(settings))
    assert not found, "\n".join(found)
