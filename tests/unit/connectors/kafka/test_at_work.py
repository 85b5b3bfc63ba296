"""A publisher of history says that it is at work as long as it is, and that it has ended only if it has."""

from threading import Event, Thread, current_thread

import pytest

from connectors.kafka import at_work as module
from connectors.kafka.at_work import Intent, at_work


class Log:
    """Writes down what is said, and by which thread."""

    def __init__(self) -> None:
        self.said: list[Intent] = []
        self.reminders: list[Thread] = []
        self.reminded = Event()

    def say(self, intent: Intent) -> None:
        self.said.append(intent)

    def remind(self) -> None:
        self.reminders.append(current_thread())
        if len(self.reminders) == 3:
            self.reminded.set()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    monkeypatch.setattr(module, "EVERY_SECONDS", 0.001)
    return Log()


def test_it_reminds_while_the_publisher_itself_waits(log: Log) -> None:
    with at_work(log):
        assert log.reminded.wait(60)
    assert log.said == ["open", "finished"]
    assert current_thread() not in log.reminders
    count = len(log.reminders)
    assert not any(thread.is_alive() for thread in log.reminders)
    assert len(log.reminders) == count


def test_what_is_followed_by_more_has_not_finished(log: Log) -> None:
    with at_work(log, more_follows=True):
        pass
    assert log.said == ["open"]


def test_what_failed_has_not_finished_and_says_no_more(log: Log) -> None:
    with pytest.raises(ValueError, match="broken"), at_work(log):
        raise ValueError("broken")
    assert log.said == ["open"]
    assert all(not thread.is_alive() for thread in log.reminders)
