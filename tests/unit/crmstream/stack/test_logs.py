"""The end of a log in plain words."""

import pytest

from crmstream.stack.logs import plain_end, speaks_of_a_full_disk

JAVA = """[main] ERROR kafka.log.LogManager - Error while writing: No space left on device
java.io.IOException: No space left on device
\tat java.base/sun.nio.ch.FileDispatcherImpl.write0(Native Method)
\tat kafka.log.UnifiedLog.append(UnifiedLog.scala:12)
\t... 12 more
[main] ERROR kafka.server.KafkaServer - Shutdown because all log dirs have failed"""
PYTHON = """2026-07-01 INFO start
Traceback (most recent call last):
  File "a.py", line 1, in <module>
    raise ValueError("the reason")
ValueError: the reason"""


def test_stack_traces_are_left_out() -> None:
    assert plain_end(JAVA, 3).splitlines() == [
        "[main] ERROR kafka.log.LogManager - Error while writing: No space left on device",
        "java.io.IOException: No space left on device",
        "[main] ERROR kafka.server.KafkaServer - Shutdown because all log dirs have failed",
    ]
    assert plain_end(PYTHON, 9) == "2026-07-01 INFO start\nValueError: the reason"
    assert plain_end("", 5) == ""


@pytest.mark.parametrize(
    ("text", "full"),
    [(JAVA, True), ("write: Disk quota exceeded", True), (PYTHON, False), ("", False)],
)
def test_a_full_disk_is_recognised(text: str, full: bool) -> None:
    assert speaks_of_a_full_disk(text) is full
