"""Killed with -9 at any moment and started again: nothing is lost, nothing doubled, nothing else than undisturbed."""

import random

from support.disturbances import KillEverything, KillWorkers, disturb
from support.flow import Flow, Log, NewSettings
from support.history import SLOWLY
from support.tables import Written, differences, read_written

BLOWS = (KillWorkers([0]), KillEverything(), KillWorkers([1]), KillWorkers([0, 1]))


def test_a_crash_changes_nothing(undisturbed: Written, log: Log, new_settings: NewSettings) -> None:
    settings = new_settings(workers=2, **SLOWLY)
    draw = random.Random(1)
    moments = sorted(draw.uniform(0.05, 0.8) for _ in BLOWS)
    log.forget_progress()
    with Flow(settings) as flow:
        disturb(flow, list(zip(moments, BLOWS, strict=True)))
        flow.drain(log)
    assert differences(undisturbed, read_written(settings)) == []
