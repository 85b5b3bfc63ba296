"""The local stack as a whole: it starts, goes on after a stop, leaves no process behind, and says what is wrong."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import clickhouse_connect
import psutil
import pytest
import redis
from clickhouse_connect.driver.client import Client
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from contracts.errors import StackError
from contracts.settings import Settings
from crmstream.stack.dataflow import DataflowCommands
from crmstream.stack.endpoints import Endpoints, resolve_endpoints, running_stack
from crmstream.stack.health_file import read_health
from crmstream.stack.parts import ClickHousePart
from crmstream.stack.ports import free_port, is_free
from crmstream.stack.supervisor import LocalStack

OUTSIDE = {
    "kafka_bootstrap_servers": "127.0.0.1:1",
    "clickhouse_url": "http://127.0.0.1:2",
    "redis_url": "redis://127.0.0.1:3/0",
}
"""Servers that nobody asks: with them a stack is only its dataflow, which starts at once."""


def local(folder: Path, **options: object) -> Settings:
    unset = dict.fromkeys(OUTSIDE)
    return Settings(data_dir=folder, **unset | options)  # type: ignore[arg-type]


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code))


def wait_until(condition: Callable[[], bool], timeout_seconds: float = 30) -> None:
    deadline = time.monotonic() + timeout_seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.05)


def gone(pids: list[int]) -> Callable[[], bool]:
    """Whether none of the processes is left; one that waits for init to collect it is gone."""

    def ended(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return lambda: all(map(ended, pids))


@contextlib.contextmanager
def clickhouse(endpoints: Endpoints) -> Iterator[Client]:
    address = urlsplit(endpoints.clickhouse_url)
    with clickhouse_connect.get_client(host=address.hostname, port=address.port) as client:
        yield client


def children() -> list[int]:
    return [child.pid for child in psutil.Process().children(recursive=True)]


def test_everything_goes_on_after_a_stop(tmp_path: Path) -> None:
    before = set(children())
    with LocalStack(local(tmp_path), with_dataflow=False) as stack:
        first = stack.endpoints
        assert resolve_endpoints(local(tmp_path)) == first
        admin = AdminClient({"bootstrap.servers": first.kafka})
        admin.create_topics([NewTopic("t", 1, 1)])["t"].result(20)
        producer = Producer({"bootstrap.servers": first.kafka, "acks": "all"})
        producer.produce("t", b"kept")
        assert producer.flush(20) == 0
        redis.Redis.from_url(first.redis_url).set("key", "kept")
        with clickhouse(first) as client:
            client.command("CREATE DATABASE crm")
            client.command("CREATE TABLE crm.t (a String) ENGINE = MergeTree ORDER BY a")
            client.insert("crm.t", [["kept"]])
        started = [pid for pid in children() if pid not in before]
        assert sorted(psutil.Process(pid).nice() - os.nice(0) for pid in started) == [0, 0, ClickHousePart.niceness]
    assert gone(started)()
    assert running_stack(tmp_path) is None

    with LocalStack(local(tmp_path), with_dataflow=False) as stack:
        again = stack.endpoints
        assert (again.kafka, again.clickhouse_url, again.redis_url) == (
            first.kafka, first.clickhouse_url, first.redis_url,
        )  # fmt: skip
        assert redis.Redis.from_url(again.redis_url).get("key") == b"kept"
        with clickhouse(again) as client:
            assert client.command("SELECT a FROM crm.t") == "kept"
        consumer = Consumer({"bootstrap.servers": again.kafka, "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, 0)])
        message = consumer.poll(20)
        consumer.close()
        assert message is not None
        assert message.value() == b"kept"


def test_a_killed_supervisor_leaves_no_process_and_the_next_start_succeeds(tmp_path: Path) -> None:
    code = f"""
        import time
        from pathlib import Path
        from contracts.settings import Settings
        from crmstream.stack.supervisor import LocalStack
        with LocalStack(Settings(data_dir=Path({str(tmp_path)!r})), with_dataflow=False) as stack:
            print("up", flush=True)
            time.sleep(100)
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CRM_")}
    supervisor = subprocess.Popen(python(code), stdout=subprocess.PIPE, text=True, env=environment)
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "up\n"
    endpoints = running_stack(tmp_path)
    assert endpoints is not None
    redis.Redis.from_url(endpoints.redis_url).set("key", "kept")
    pids = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
    assert len(pids) == 3
    supervisor.kill()
    supervisor.wait()
    supervisor.stdout.close()
    with LocalStack(local(tmp_path), with_dataflow=False) as stack:  # at once, on the same files
        assert gone(pids)()
        assert redis.Redis.from_url(stack.endpoints.redis_url).get("key") == b"kept"


def test_two_stacks_run_side_by_side_and_one_folder_has_one(stack: Endpoints, tmp_path: Path) -> None:
    with LocalStack(local(tmp_path, kafka_bootstrap_servers=stack.kafka), with_dataflow=False) as second:
        assert second.endpoints.redis_url != stack.redis_url
        assert second.endpoints.clickhouse_url != stack.clickhouse_url
        redis.Redis.from_url(second.endpoints.redis_url).set("only-here", 1)
        assert redis.Redis.from_url(stack.redis_url).get("only-here") is None
        with pytest.raises(StackError, match=rf"running in .* already \(process {os.getpid()}\)"):
            LocalStack(local(tmp_path)).start()
        assert resolve_endpoints(local(tmp_path)) == second.endpoints


def test_servers_that_are_killed_come_back_with_their_ports_and_data(tmp_path: Path) -> None:
    events: list[str] = []
    with LocalStack(local(tmp_path), with_dataflow=False, on_event=events.append) as running:
        endpoints = running.endpoints
        producer = Producer({"bootstrap.servers": endpoints.kafka, "acks": "all", "enable.idempotence": True})
        admin = AdminClient({"bootstrap.servers": endpoints.kafka})
        admin.create_topics([NewTopic("t", 1, 1)])["t"].result(20)
        producer.produce("t", b"before")
        assert producer.flush(20) == 0
        redis.Redis.from_url(endpoints.redis_url).set("key", "kept")
        with clickhouse(endpoints) as client:
            client.command("CREATE DATABASE crm")
            client.command("CREATE TABLE crm.t (a String) ENGINE = MergeTree ORDER BY a")
            client.insert("crm.t", [["kept"]])
        running.poll()
        parts = read_health(tmp_path)
        assert parts is not None
        assert [(part.name, part.state) for part in parts] == [(n, "up") for n in ("Redis", "ClickHouse", "Kafka")]
        for part in parts:
            os.kill(part.pid or 0, signal.SIGKILL)
        producer.produce("t", b"while it was down")  # a client that is under way waits
        wait_until(lambda: running.poll() is None and sum(event.endswith(" is back") for event in events) == 3, 60)
        assert producer.flush(20) == 0
        assert running.endpoints == endpoints
        assert redis.Redis.from_url(endpoints.redis_url).get("key") == b"kept"
        with clickhouse(endpoints) as client:
            assert client.command("SELECT a FROM crm.t") == "kept"
        consumer = Consumer({"bootstrap.servers": endpoints.kafka, "group.id": "g"})
        consumer.assign([TopicPartition("t", 0, 0)])
        found = [consumer.poll(20) for _ in range(2)]
        consumer.close()
        assert [message and message.value() for message in found] == [b"before", b"while it was down"]
    assert sum("was killed by signal 9: starting it again" in event for event in events) == 3


def test_a_server_that_dies_again_and_again_is_reported_with_its_log(
    stack: Endpoints, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crmstream.stack.restarts.FIRST_WAIT_SECONDS", 0.01)
    settings = local(tmp_path, kafka_bootstrap_servers=stack.kafka, clickhouse_url=stack.clickhouse_url)
    with LocalStack(settings, with_dataflow=False) as running:

        def shut_down() -> bool:
            with contextlib.suppress(redis.RedisError):
                redis.Redis.from_url(running.endpoints.redis_url).shutdown(nosave=True)
            return running.poll() is not None

        with pytest.raises(StackError, match=r"(?s)Redis died 6 times .*redis ended with exit code 0.*log.*bye bye"):
            wait_until(shut_down)


def test_a_disk_that_is_too_full_is_named_before_anything_starts(tmp_path: Path) -> None:
    settings = local(tmp_path, disk_stop_bytes=1 << 60)
    with pytest.raises(StackError, match=rf"nothing is started: the disk of {tmp_path} has .*CRM_DISK_STOP_BYTES"):
        LocalStack(settings).start()
    assert not (tmp_path / "kafka").exists()
    with LocalStack(Settings(data_dir=tmp_path / "second", **OUTSIDE, disk_stop_bytes=1 << 60), with_dataflow=False):
        pass  # an outside Kafka has a disk of its own


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=f"port {port} .CRM_REDIS_PORT. is taken"):
            LocalStack(local(tmp_path, redis_port=port)).start()
    assert running_stack(tmp_path) is None


@pytest.mark.parametrize("folder", ["/proc/crm", "file"])
def test_a_folder_that_cannot_be_used_is_named_with_its_setting(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(StackError, match=f"{folder} cannot be used .*CRM_DATA_DIR"):
        LocalStack(local(Path(folder))).start()


def test_a_server_that_cannot_start_is_reported_with_its_log(stack: Endpoints, tmp_path: Path) -> None:
    store = tmp_path / "redis" / "appendonlydir"
    store.mkdir(parents=True)
    (store / "appendonly.aof.manifest").write_text("nonsense\n", encoding="utf-8")
    settings = local(tmp_path, kafka_bootstrap_servers=stack.kafka, clickhouse_url=stack.clickhouse_url)
    with pytest.raises(StackError, match=r"(?s)redis ended with exit code 1.*manifest"), LocalStack(settings):
        pytest.fail("the stack started on a broken store")


WORKER = """
    import os, signal, sys, time
    from pathlib import Path
    from contracts.settings import Settings
    index, folder = sys.argv[-1], Settings().data_dir
    def stop(*_):
        time.sleep(0.3)  # the end of an epoch
        (folder / f"stopped-{index}").touch()
        sys.exit(0)
    signal.signal(signal.SIGTERM, stop)
    with (folder / f"starts-{index}").open("a") as log:
        print(os.environ["CRM_WORKER_ADDRESSES"], os.environ["CRM_WORKER_METRICS_PORT"], file=log, flush=True)
    time.sleep(100)
"""
HEARTBEAT = "import time; time.sleep(100)"


def dataflow(folder: Path, worker: str = WORKER, on_event: Callable[[str], None] | None = None) -> LocalStack:
    commands = DataflowCommands(worker=python(worker), heartbeat=python(HEARTBEAT))
    return LocalStack(Settings(data_dir=folder, workers=2, **OUTSIDE), commands=commands, on_event=on_event)


def starts(folder: Path, index: int) -> list[str]:
    path = folder / f"starts-{index}"
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def started(folder: Path, times: int) -> Callable[[], bool]:
    return lambda: all(len(starts(folder, index)) == times for index in (0, 1))


def test_workers_get_addresses_and_finish_before_the_stop(tmp_path: Path) -> None:
    with dataflow(tmp_path) as stack:
        wait_until(started(tmp_path, 1))
        assert len(stack.worker_pids) == 2
        (first, second) = (starts(tmp_path, index)[0].split() for index in (0, 1))
        assert first[0] == second[0]
        assert len(set(first[0].split(";"))) == 2
        ports = [urlsplit(url).port for url in stack.endpoints.worker_metrics]
        assert ports == [int(first[1]), int(second[1])]
    assert (tmp_path / "stopped-0").exists()
    assert (tmp_path / "stopped-1").exists()


def test_the_group_is_restarted_when_a_worker_is_killed(tmp_path: Path) -> None:
    events: list[str] = []
    with dataflow(tmp_path, on_event=events.append) as stack:
        wait_until(started(tmp_path, 1))
        before = stack.worker_pids
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: stack.poll() is None and started(tmp_path, 2)())
        assert set(before).isdisjoint(stack.worker_pids)
        assert len(stack.worker_pids) == 2
        assert any("worker-0 died" in event for event in events)
        stack.stop_workers()
        assert stack.worker_pids == ()
        stack.poll()
        assert stack.worker_pids == ()


def test_workers_are_restarted_on_demand_after_their_epoch(tmp_path: Path) -> None:
    events: list[str] = []
    with dataflow(tmp_path, on_event=events.append) as stack:
        wait_until(started(tmp_path, 1))
        before = stack.worker_pids
        stack.restart_workers("the exchange rates changed")
        assert stack.restarting
        wait_until(lambda: stack.poll() is None and started(tmp_path, 2)())
        assert not stack.restarting
        assert set(before).isdisjoint(stack.worker_pids)
        assert (tmp_path / "stopped-0").exists()
        assert "restarting the dataflow: the exchange rates changed" in events
        stack.poll()
        assert started(tmp_path, 2)()


COLLECTOR = """
    import os
    from http.server import HTTPServer, SimpleHTTPRequestHandler
    HTTPServer(("127.0.0.1", int(os.environ["CRM_COLLECTOR_PORT"])), SimpleHTTPRequestHandler).serve_forever()
"""


def test_the_collector_goes_back_to_its_port_when_it_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own_port = free_port()
    monkeypatch.setattr("crmstream.stack.collector_part.DEFAULT_PORT", own_port)
    monkeypatch.setattr("crmstream.stack.collector_part.RETURN_SECONDS", 0.1)
    events: list[str] = []
    commands = DataflowCommands(python(WORKER), python(HEARTBEAT), python(COLLECTOR))
    settings = Settings(data_dir=tmp_path, collector_port=None, **OUTSIDE)
    taken = socket.create_server(("127.0.0.1", own_port))
    with LocalStack(settings, commands=commands, on_event=events.append) as stack:
        substitute = stack.endpoints.collector_url
        assert urlsplit(str(substitute)).port != own_port
        assert any(event.startswith(f"PORT {own_port} IS TAKEN by ") for event in events)
        stack.poll()
        assert stack.endpoints.collector_url == substitute
        taken.close()
        wait_until(lambda: stack.poll() is None and stack.endpoints.collector_url != substitute)
        assert stack.endpoints.collector_url == f"http://127.0.0.1:{own_port}"
        assert resolve_endpoints(settings).collector_url == stack.endpoints.collector_url
        wait_until(lambda: stack.poll() is None and not is_free(own_port))
        assert any("the collector goes back to it" in event for event in events)


def test_a_worker_that_will_not_start_ends_the_stack_with_its_message(tmp_path: Path) -> None:
    code = """
        import sys
        from contracts.settings import Settings
        if sys.argv[-1] == "1":
            (Settings().data_dir / "logs" / "worker-1.fatal").write_text("the log is another one: name the ways on")
            sys.exit(78)
        import time; time.sleep(100)
    """
    with (
        pytest.raises(StackError, match=r"^the log is another one: name the ways on$"),
        dataflow(tmp_path, code) as stack,
    ):
        stack.wait()
    assert running_stack(tmp_path) is None


def test_workers_that_die_again_and_again_end_the_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crmstream.stack.restarts.FIRST_WAIT_SECONDS", 0.01)
    code = "raise SystemExit('the reason')"
    with (
        pytest.raises(StackError, match=r"(?s)dataflow died 6 times within 300 s.*the reason"),
        dataflow(tmp_path, code) as stack,
    ):
        stack.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_stop_once_and_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    code = f"""
        from pathlib import Path
        from contracts.settings import Settings
        from crmstream.stack.dataflow import DataflowCommands
        from crmstream.stack.supervisor import LocalStack
        commands = DataflowCommands(worker={python(WORKER)!r}, heartbeat={python(HEARTBEAT)!r})
        settings = Settings(data_dir=Path({str(tmp_path)!r}), workers=2, **{OUTSIDE!r})
        with LocalStack(settings, commands=commands) as stack:
            stack.wait()
        print("stopped")
    """
    supervisor = subprocess.Popen(python(code), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(started(tmp_path, 1))
    pids = [child.pid for child in psutil.Process(supervisor.pid).children(recursive=True)]
    assert len(pids) == 3
    for _ in range(3):  # an impatient user
        supervisor.send_signal(number)
        time.sleep(0.05)
    output, errors = supervisor.communicate(timeout=60)
    assert (supervisor.returncode, output, errors) == (0, "stopped\n", "")
    assert gone(pids)()
    assert (tmp_path / "stopped-0").exists()
    assert running_stack(tmp_path) is None
