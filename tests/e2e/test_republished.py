"""A history that is published twice changes nothing: no profile, no stored row, no dead letter."""

from uuid import uuid4

from support.flow import Flow, Log, NewSettings
from support.history import PARTITIONS, publish_rich_history
from support.tables import Written, differences, read_written

from contracts.settings import Settings
from crmstream.dead_letters.letters import Filter, count_letters
from sinks.clients import clickhouse_client


def test_a_history_published_again_changes_nothing(new_settings: NewSettings) -> None:
    """With a Kafka of its own: the log of the other tests must stay as it is."""
    settings = new_settings(kafka_bootstrap_servers=None, duplicate_window_events=1_000_000, time="history")
    with Flow(settings) as flow:
        publish_rich_history(flow.endpoints.kafka)
        log = Log(flow.endpoints.kafka, PARTITIONS)
        flow.drain(log)
        once, records = read_written(settings), sum(log.ends().values())
        publish_rich_history(flow.endpoints.kafka)
        assert sum(log.ends().values()) > 1.9 * records
        flow.drain(log)
        twice = read_written(settings)
        shown = flow.run("status")
    assert differences(once, twice) == []
    assert once.count("dead_letters") > 10
    assert once.count("web_events") > 1_000
    assert late_rows(settings) < 0.2 * once.count("web_events")
    assert f"{dead_letters(settings):,} in all" in shown
    assert dead_letters(settings) == once.count("dead_letters")


def test_a_log_read_anew_into_the_same_stores_changes_nothing(
    undisturbed: Written, log: Log, new_settings: NewSettings
) -> None:
    """The state is moved away, the stores stay: the rows that win are a function of the log."""
    settings = new_settings()
    for _ in range(2):
        log.forget_progress()
        with Flow(settings) as flow:
            flow.drain(log)
        recovery = settings.data_dir / "recovery"
        recovery.rename(recovery.with_name(f"recovery.{uuid4().hex}"))
    assert differences(undisturbed, read_written(settings)) == []


def late_rows(settings: Settings) -> int:
    """The rows of ``web_events`` that came late."""
    assert settings.clickhouse_url is not None
    client = clickhouse_client(settings.clickhouse_url, settings.clickhouse_database)
    return int(client.query("SELECT countIf(is_late) FROM web_events FINAL").first_row[0])


def dead_letters(settings: Settings) -> int:
    assert settings.clickhouse_url is not None
    client = clickhouse_client(settings.clickhouse_url, settings.clickhouse_database)
    return count_letters(client, Filter())
