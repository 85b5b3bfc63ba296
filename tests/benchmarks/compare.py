"""The whole way, measured: the dataflow, older commits of it, the hand-written loop and the floor on the same log.

They take turns. Every run starts from nothing (tables and keyspace emptied, no state) and ends when everything is in
the stores. What is compared is what the reading process costs, in CPU and wall-clock seconds, and the servers' CPU.
"""

import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from stacks import HEAD, RUN_SECONDS, Stack, Version, loaded_stack, read_json
from workload import Workload

DATAFLOW: Final = HEAD.name
LOOP: Final = "hand-written loop"
FLOOR: Final = "consume and decode only"
MEASURES: Final = ("cpu_seconds", "wall_seconds", "servers_cpu_seconds")


@dataclass
class Run:
    """One pass over the log: seconds of the process and of the servers, and what is in the stores afterwards."""

    wall_seconds: float
    cpu_seconds: float
    servers_cpu_seconds: float
    servers: dict[str, float]
    stored: dict[str, int]


@dataclass
class Comparison:
    """All passes over one workload. ``total`` counts the records without ticks; every version publishes the same."""

    workload: str
    about: str
    events: dict[str, int]
    total: int
    runs: dict[str, list[Run]] = field(default_factory=dict)

    def ratios(self, which: str, to: str, measure: str) -> tuple[float, float, float]:
        """One against another, round by round: least, median, greatest."""
        pairs = zip(self.runs[which], self.runs[to], strict=True)
        ratios = [getattr(ours, measure) / getattr(theirs, measure) for ours, theirs in pairs]
        return min(ratios), median(ratios), max(ratios)


def compare(
    workload: Workload, rounds: int, versions: Sequence[Version], note: Callable[[str], None], *, others: bool = True
) -> Comparison:
    """Work the log off ``rounds`` times each way, taking turns in who goes first.

    Each version has a stack of its own, with its own tables and its own publisher's log. The ``others`` are the loop
    and the floor, on the first version's stack.
    """
    with ExitStack() as held:
        stacks = []
        for version in versions:
            note(f"{workload.name}: publishing for the {version.name}")
            stacks.append(held.enter_context(loaded_stack(version, workload.name)))
        first = stacks[0]
        comparison = Comparison(workload.name, workload.about, first.events, first.total)
        turns = [(stack.version.name, stack) for stack in stacks] + [(LOOP, first), (FLOOR, first)] * others
        for number in range(rounds):
            for which, stack in turns if number % 2 == 0 else reversed(turns):
                note(f"{workload.name}: round {number + 1} of {rounds}, {which}")
                comparison.runs.setdefault(which, []).append(run_once(which, stack))
    return comparison


def run_once(which: str, stack: Stack) -> Run:
    """One pass over a stack's log."""
    stack.empty()
    facts, before = stack.facts, stack.servers_cpu()
    if which == LOOP:
        where = (facts["kafka"], facts["clickhouse_url"], facts["redis_url"], facts["database"])
        process = stack.start("handwritten_loop.py", *where, str(facts["records"]))
    elif which == FLOOR:
        process = stack.start("floor.py", str(facts["records"]))
    else:
        process = stack.start("engine_run.py", str(facts["records"]))
    figures = _result(process)
    after = stack.servers_cpu()
    servers = {name: after[name] - before.get(name, 0.0) for name in after}
    return Run(
        figures["wall_seconds"], figures["cpu_seconds"], sum(servers.values()), servers,
        stack.stored(),
    )  # fmt: skip


def _result(process: "subprocess.Popen[str]") -> dict[str, float]:
    try:
        figures = read_json(process)
        process.wait(RUN_SECONDS)
    finally:
        process.kill()  # does nothing to a process that has ended
    return figures
