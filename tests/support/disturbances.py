"""What may happen to an installation in the middle of its work. To add one, write a class with ``strike``."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from support.flow import Flow, Log, wait_until


class Disturbance(Protocol):
    """Something that goes wrong. When ``strike`` returns, the installation is up or will come up by itself."""

    def strike(self, flow: Flow) -> None:
        """Do it."""
        ...


@dataclass(frozen=True)
class KillWorkers:
    """Kill workers with -9; the supervisor starts the dataflow again. ``indexes`` are those of the victims."""

    indexes: Sequence[int]

    def strike(self, flow: Flow) -> None:
        """Kill, and wait until others have taken the victims' place."""
        before = flow.worker_pids
        for index in self.indexes:
            os.kill(before[index], signal.SIGKILL)

        def replaced() -> bool:
            pids = flow.worker_pids
            return len(pids) == len(before) and not set(pids) & set(before)

        wait_until(replaced, "the supervisor has started the workers again")


@dataclass(frozen=True)
class KillEverything:
    """Kill the supervisor with -9, and so all its processes; start anew."""

    def strike(self, flow: Flow) -> None:
        """Kill and start."""
        flow.kill()
        flow.start()


@dataclass(frozen=True)
class StopAndStart:
    """Stop cleanly and start again, perhaps with another number of workers."""

    workers: int

    def strike(self, flow: Flow) -> None:
        """Stop and start."""
        flow.stop()
        flow.start(workers=self.workers)


def disturb(flow: Flow, log: Log, plan: Sequence[tuple[float, Disturbance]]) -> None:
    """Let each disturbance strike when its part of the log (0 to 1) is done, in the order given.

    Fails if the log is done before a disturbance has struck: such a run would prove nothing.
    """
    for moment, disturbance in plan:
        flow.await_that(lambda moment=moment: log.progress() >= moment, f"{moment:.0%} of the log is done")  # type: ignore[misc]
        assert log.progress() < 1, f"the log was done before {disturbance} at {moment:.0%}"
        disturbance.strike(flow)
