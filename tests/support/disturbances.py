"""What may happen to an installation in the middle of its work. To add one, write a class with ``strike``."""

import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from support.flow import Flow, wait_until
from support.history import part_read


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


def disturb(flow: Flow, plan: Sequence[tuple[float, Disturbance]]) -> None:
    """Let each disturbance strike when its part of the rich history (0 to 1) has been read, in the order given.

    Fails if everything has been read before a disturbance strikes: such a run would prove nothing.
    """
    for moment, disturbance in plan:
        flow.await_that(lambda moment=moment: part_read(flow.clocks()) >= moment, f"{moment:.0%} has been read")  # type: ignore[misc]
        assert part_read(flow.clocks()) < 1, f"everything had been read before {disturbance} at {moment:.0%}"
        disturbance.strike(flow)
