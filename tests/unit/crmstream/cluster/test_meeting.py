"""Workers meet over real sockets, each in a thread: they start together or say why not."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import SettingsError
from crmstream.cluster import joining, links, meeting, shared_folder
from crmstream.cluster.companions import Companions
from crmstream.cluster.meeting import meet
from crmstream.cluster.members import Met, Worker
from crmstream.cluster.messages import Connection
from crmstream.stack.dataflow import COMPANION_GONE
from crmstream.stack.ports import free_port

FACTS = {"CRM_BUCKETS": 4}


class Meeting:
    """Worker processes as threads."""

    def __init__(self, workers: int, folder: Path):
        self.addresses = [f"127.0.0.1:{free_port()}" for _ in range(workers)]
        self.folder = folder
        self.stop = threading.Event()
        self.leave: dict[int, threading.Event] = {}
        self.seen_by: dict[int, list[str]] = {}
        """Other addresses, for a worker that does not reach one of the others."""
        self.waits: dict[int, list[str]] = {index: [] for index in range(workers)}
        self.results: dict[int, Any] = {}
        self.prepared: list[tuple[str, set[int]]] = []
        self._threads: dict[int, threading.Thread] = {}

    def start(self, index: int, folder: Path | None = None, facts: dict[str, object] | None = None) -> None:
        self.leave[index] = threading.Event()
        worker = Worker(
            index, self.seen_by.get(index, self.addresses), folder or self.folder, facts or FACTS,
            lambda: self.stop.is_set() or self.leave[index].is_set(), self.waits[index].append,
        )  # fmt: skip
        self._threads[index] = threading.Thread(target=self._meet, args=(worker,), daemon=True)
        self._threads[index].start()

    def _meet(self, worker: Worker) -> None:
        try:
            self.results[worker.index] = meet(worker, lambda mark: self.prepared.append((mark, set(self.results))))
        except SettingsError as error:
            self.results[worker.index] = error

    def connections(self, index: int) -> dict[int, Connection]:
        self._threads[index].join(20)
        found = self.results[index]
        assert isinstance(found, Met), found
        return found.connections

    def refusal(self, index: int) -> str:
        self._threads[index].join(20)
        return str(self.results[index])


def eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (joining, links, meeting):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    for module in (links, meeting):
        monkeypatch.setattr(module, "TELL_SECONDS", 0.05)


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Meeting]:
    made = Meeting(3, tmp_path)
    yield made
    made.stop.set()


def test_all_start_when_all_are_there_and_say_which_they_wait_for(three: Meeting) -> None:
    three.start(1)
    eventually(lambda: three.waits[1])
    assert f"{three.addresses[0]} (worker 0): Connection refused" in three.waits[1]
    three.start(0)
    last = f"{three.addresses[2]} (worker 2)"
    eventually(lambda: three.waits[0] and three.waits[0][-1] == last)
    eventually(lambda: three.waits[1][-1] == last)
    assert three.results == {}
    three.start(2)
    assert set(three.connections(0)) == {1, 2}
    assert set(three.connections(1)) == {0, 2}
    assert set(three.connections(2)) == {0, 1}
    marks = {three.results[index].mark for index in range(3)}
    assert three.prepared == [(marks.pop(), set())], "what must be done before anyone starts is done once"
    assert not marks, "all know the same mark"
    assert {three.waits[index][-1] for index in range(3)} == {""}
    for address in three.addresses:
        with socket.create_server(("127.0.0.1", int(address.split(":")[1]))):
            pass  # Bytewax can listen there, while the connections last


def test_one_that_dies_and_comes_again_before_the_start_is_counted_once(three: Meeting) -> None:
    three.start(0)
    three.start(2)
    eventually(lambda: three.waits[0] and three.waits[0][-1] == f"{three.addresses[1]} (worker 1)")
    port = int(three.addresses[0].split(":")[1])
    for garbage in (b"", b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"worker": "1"}\n', b'{"worker": 1, "workers": 3}\n'):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(garbage)
    time.sleep(0.2)
    assert three.results == {}
    three.start(1)
    assert set(three.connections(0)) == {1, 2}


def test_workers_that_do_not_reach_each_other_are_named(three: Meeting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LINK_SECONDS", 0.2)
    first, second = f"{three.addresses[1]} (worker 1)", f"{three.addresses[2]} (worker 2)"
    nothing = f"127.0.0.1:{free_port()}"
    three.seen_by[2] = [three.addresses[0], nothing, three.addresses[2]]
    for index in range(3):
        three.start(index)
    eventually(lambda: three.waits[0] and three.waits[0][-1] == f"a connection between {first} and {second}")
    eventually(lambda: three.waits[1] and three.waits[1][-1] == second)
    eventually(lambda: three.waits[2] and three.waits[2][-1] == f"{nothing} (worker 1): Connection refused")
    assert three.results == {}


def test_one_that_leaves_and_comes_again_is_linked_anew(tmp_path: Path) -> None:
    four = Meeting(4, tmp_path)
    for index in range(3):
        four.start(index)
    last = f"{four.addresses[3]} (worker 3)"
    eventually(lambda: all(four.waits[index] and four.waits[index][-1] == last for index in range(3)))
    for index in (1, 2):
        four.leave[index].set()
        assert four.refusal(index) == "None"
        four.start(index)
    four.start(3)
    for index in range(4):
        assert set(four.connections(index)) == set(range(4)) - {index}
    four.stop.set()


@pytest.mark.parametrize("words", [
    b"", b"GET / HTTP/1.1\r\n\r\n", b'{"link": 2}\n', b'{"link": 2, "mark": "wrong"}\n', b'{"link": [2], "mark": 1}\n',
])  # fmt: skip
def test_strangers_are_no_link(three: Meeting, words: bytes) -> None:
    three.start(0)
    three.start(1)
    eventually(lambda: three.waits[1] and three.waits[1][-1] == f"{three.addresses[2]} (worker 2)")
    with socket.create_connection(("127.0.0.1", int(three.addresses[1].split(":")[1]))) as stranger:
        stranger.sendall(words)
        time.sleep(0.3)
        three.start(2)
        assert set(three.connections(1)) == {0, 2}
    assert set(three.connections(2)) == {0, 1}


def test_another_folder_is_noticed(three: Meeting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_folder, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(shared_folder.find_mark, "__defaults__", (0.1,))
    other = tmp_path / "other"
    other.mkdir()
    three.start(0)
    three.start(1, other)
    assert f"{other} is not the data folder of worker 0" in three.refusal(1)
    assert "shared storage" in three.refusal(1)
    three.start(2, other)
    shared_folder.leave_mark(other)
    assert "is not the data folder" in three.refusal(2), "the mark of another cluster"


def test_other_settings_are_refused_by_name(three: Meeting) -> None:
    three.start(0)
    three.start(1, facts={"CRM_BUCKETS": 8})
    assert "other settings than worker 0 has: CRM_BUCKETS (8 here, 4 there)" in three.refusal(1)


def test_another_number_of_workers_is_refused(three: Meeting, tmp_path: Path) -> None:
    two = Meeting(2, tmp_path)
    two.addresses[0] = three.addresses[0]
    three.start(0)
    two.start(1)
    assert "a cluster of 3 workers" in two.refusal(1)


def test_a_meeting_ends_when_the_process_is_asked_to_stop(three: Meeting) -> None:
    three.start(0)
    three.start(1)
    eventually(lambda: three.waits[0])
    three.stop.set()
    assert three.refusal(0) == three.refusal(1) == "None"


def test_an_address_in_use_is_waited_for(three: Meeting) -> None:
    with socket.create_server(("127.0.0.1", int(three.addresses[0].split(":")[1]))):
        three.start(0)
        eventually(lambda: three.waits[0])
        assert "another program listens there" in three.waits[0][0]
    three.start(1)
    three.start(2)
    assert three.connections(0)


class Watched:
    """The companions of a worker, whose process does not end."""

    def __init__(self, connections: dict[int, Connection], most_silent: float = 5):
        self.codes: list[int] = []
        self.asked = threading.Event()
        self.companions = Companions(connections, self.asked, self.asked.set, self.codes.append, most_silent)
        self.companions.watch()


def run_all(made: Meeting, most_silent: float = 5) -> list[Watched]:
    for index in range(3):
        made.start(index)
    return [Watched(made.connections(index), most_silent) for index in range(3)]


def test_when_one_goes_all_end(three: Meeting) -> None:
    workers = run_all(three)
    time.sleep(0.3)
    assert all(not worker.codes for worker in workers)
    three.connections(2)[0].close()  # as the kernel does when a process dies
    eventually(lambda: workers[0].codes)
    for connection in three.connections(0).values():
        connection.close()
    eventually(lambda: workers[1].codes)
    assert workers[0].codes == workers[1].codes == [COMPANION_GONE]
    assert workers[0].companions.lost.is_set()


def test_a_host_that_vanishes_without_a_word_is_missed(three: Meeting) -> None:
    for index in range(3):
        three.start(index)
    first, second = (Watched(three.connections(index), 0.4) for index in (0, 1))
    assert three.connections(2)  # it never says anything
    eventually(lambda: first.codes)
    assert second.codes in ([], [COMPANION_GONE])


def test_when_one_stops_all_stop_in_order(three: Meeting) -> None:
    workers = run_all(three)
    workers[1].asked.set()
    eventually(lambda: all(worker.asked.is_set() for worker in workers))
    assert [worker.companions.stopped_by_other for worker in workers] == [True, False, True]
    time.sleep(0.2)
    assert all(not worker.codes for worker in workers)


def test_a_link_that_is_cut_is_missed_though_worker_0_hears_both(three: Meeting) -> None:
    for index in range(3):
        three.start(index)
    connections = [three.connections(index) for index in range(3)]
    pairs = [socket.socketpair() for _ in range(2)]  # nothing comes out of them
    connections[1][2], connections[2][1] = (Connection(pair[0], "cut") for pair in pairs)
    second, third = (Watched(connections[index], 0.4) for index in (1, 2))
    first = Watched(connections[0], 60)
    eventually(lambda: second.codes and third.codes)
    assert second.codes == third.codes == [COMPANION_GONE]
    for index in (1, 2):
        connections[index][0].close()  # as the kernel does when these processes end
    eventually(lambda: first.codes == [COMPANION_GONE])
