"""Killed with -9 at any moment and started again: nothing is lost, nothing doubled, nothing else than undisturbed."""

import random

import pytest
from support.disturbances import Disturbance, KillEverything, KillWorkers, disturb
from support.flow import Flow, Log, NewSettings
from support.history import SLOWLY
from support.tables import Written, differences, read_written

ONE, OTHER, BOTH, ALL = KillWorkers([0]), KillWorkers([1]), KillWorkers([0, 1]), KillEverything()


@pytest.mark.parametrize(
    ("seed", "blows"),
    [(1, (ONE, BOTH)), (3, (ALL, OTHER))],
    ids=["one worker, then both", "everything, then a worker"],
)
def test_a_crash_changes_nothing(
    seed: int, blows: tuple[Disturbance, ...], undisturbed: Written, log: Log, new_settings: NewSettings
) -> None:
    settings = new_settings(workers=2, **SLOWLY)
    draw = random.Random(seed)
    moments = sorted(draw.uniform(0.05, 0.8) for _ in blows)
    log.forget_progress()
    with Flow(settings) as flow:
        disturb(flow, list(zip(moments, blows, strict=True)))
        flow.drain(log)
    assert differences(undisturbed, read_written(settings)) == []
