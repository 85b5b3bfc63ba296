"""Any number of workers, stopped and resumed, gives the same profiles, models and sweep scores, bit for bit."""

from support.disturbances import StopAndStart, disturb
from support.flow import Flow, Log, NewSettings
from support.history import SLOWLY
from support.tables import Written, differences, read_written


def test_the_history_is_worth_comparing(undisturbed: Written) -> None:
    """All topics, learned models, late and double and broken records: else equal results would mean little."""
    for table in ("web_events", "transactions", "service_events", "identity_events", "customers", "crm:profile:*"):
        assert undisturbed.count(table) > 30, table
    assert undisturbed.count("dead_letters") > 10
    assert undisturbed.count("identity_links") > 30
    assert sum(b"unlinked" in line for line in undisturbed.lines["identity_links"]) > 10
    assert undisturbed.count("customer_daily") > 10_000
    assert undisturbed.count("model_quality") > 80
    assert undisturbed.count("crm:score:*") > 200
    assert undisturbed.count("crm:top:churn") > 50
    last_models = [line.split(b"\t") for line in undisturbed.lines["model_quality"]]
    assert len({columns[-1] for columns in last_models}) > 80, "models that never change prove nothing"


def test_more_workers_give_the_same(undisturbed: Written, log: Log, new_settings: NewSettings) -> None:
    """Three; two are among those of the next test."""
    settings = new_settings(workers=3, replay_epoch_days=30, max_batch_events=200)
    log.forget_progress()
    with Flow(settings) as flow:
        flow.drain(log)
    assert differences(undisturbed, read_written(settings)) == []


def test_stopped_and_resumed_with_other_numbers_of_workers_gives_the_same(
    undisturbed: Written, log: Log, new_settings: NewSettings
) -> None:
    settings = new_settings(workers=1, **SLOWLY)
    log.forget_progress()
    with Flow(settings) as flow:
        disturb(flow, [(0.2, StopAndStart(workers=3)), (0.6, StopAndStart(workers=2))])
        flow.drain(log)
    assert differences(undisturbed, read_written(settings)) == []
