"""A process that is asked to stop ends, whatever it waits for."""

import signal
import subprocess
import sys
import textwrap

import pytest

from contracts.outages import calling, calls_under_way, stores_waited_for, waiting_for
from crmstream import stopping
from crmstream.stopping import end_when_stuck


def test_waiting_is_counted_and_ends() -> None:
    with waiting_for("Redis"), waiting_for("Redis"), waiting_for("Kafka"):
        assert stores_waited_for() == ["Kafka", "Redis"]
    assert stores_waited_for() == []


def test_who_waits_for_a_store_leaves_at_once_and_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    left: list[int] = []
    with waiting_for("Redis"):
        end_when_stuck(3_600, "resumes later", left.append)
    assert left == [0]
    assert caplog.messages == ["stopping at once (Redis not answering): resumes later"]


def test_who_hangs_in_a_call_leaves_and_who_makes_new_ones_does_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stopping, "HUNG_SECONDS", 0)
    with calling("Redis"):
        end_when_stuck(3_600, "resumes later", lambda _: None)
    assert calls_under_way() == {}
    with calling("Redis"):
        before = calls_under_way()
    with calling("Redis"):
        assert stopping._stuck_at(before, 1) == []
    assert caplog.messages == ["stopping at once (Redis not answering): resumes later"]


def test_who_is_not_done_in_time_leaves(caplog: pytest.LogCaptureFixture) -> None:
    left: list[int] = []
    end_when_stuck(0, "resumes later", left.append)
    assert left == [0]
    assert caplog.messages == ["stopping at once (not done after 0 s): resumes later"]


HANGS = """
import threading
from contracts.outages import waiting_for
from crmstream.stopping import StopFlag
from sinks.retries import Retrying
def no(): raise OSError
def wait(_): {wait}
StopFlag(3600, "resumes later")
print("ready", flush=True)
Retrying("Redis", lambda _: True, wait).call(no)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "wait",
    ["threading.Event().wait()", "threading.Event().wait(0.01)", "import ctypes; ctypes.CDLL(None).pause()"],
    ids=["in Python", "in short pauses", "in a library"],
)
def test_a_process_that_waits_for_a_store_ends_on_a_signal(wait: str, number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HANGS).format(wait=wait)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert b"stopping at once (Redis not answering): resumes later" in told
