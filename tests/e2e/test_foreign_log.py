"""The log behind the dataflow's position is another one: it refuses to start and says what to do."""

import shutil
from pathlib import Path

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from support.data import real
from support.flow import Flow, Log
from support.history import PARTITIONS

from contracts.settings import Settings

WAYS_ON = ("connect to the Kafka that", "fresh CRM_DATA_DIR", "`crmstream rebuild --from-warehouse`")


def test_a_foreign_and_a_truncated_log_are_refused(folder: Path, tmp_path: Path) -> None:
    few = tmp_path / "few.txt"
    few.write_text("".join(real("data/cdnow/CDNOW_master.txt").open().readlines()[:60]))
    unset = dict.fromkeys(("kafka_bootstrap_servers", "clickhouse_url", "redis_url"))
    with Flow(Settings(data_dir=folder, sweep_hours=24 * 31, collector=False, **unset)) as flow:  # type: ignore[arg-type]
        log = Log(flow.endpoints.kafka, PARTITIONS)
        flow.run("replay", str(few), "--mapping", "cdnow")
        flow.drain(log)
        ends = log.ends()
        beyond = TopicPartition("crm-transactions", 0, ends["crm-transactions", 0])
        flow.stop()
        shutil.copytree(folder / "recovery", tmp_path / "older")
        flow.start()
        flow.run("replay", str(few), "--mapping", "cdnow")
        flow.drain(log_of(flow))
        everything = TopicPartition("crm-transactions", 0, log_of(flow).ends()["crm-transactions", 0])
        assert everything.offset > beyond.offset
        admin = AdminClient({"bootstrap.servers": flow.endpoints.kafka})
        admin.delete_records([everything])[everything].result(20)
        flow.stop()

        shutil.rmtree(folder / "recovery")
        shutil.copytree(tmp_path / "older", folder / "recovery")
        told = flow.fails()
        assert "crm-transactions-0" in told
        assert "truncated" in told
        assert all(way in told for way in WAYS_ON), told

        shutil.rmtree(folder / "kafka")
        told = flow.fails()
        assert "cluster" in told
        assert all(way in told for way in WAYS_ON), told

        told = flow.refuses("rebuild", "--from-warehouse", "--yes")
        assert "not the log that they come from" in told, told
        assert (folder / "recovery").exists(), "nothing is moved before all is checked"
        flow.run("rebuild", "--yes")
        flow.start()
        assert flow.is_alive()


def log_of(flow: Flow) -> Log:
    """The log of an installation, whose port may be another one after a start."""
    return Log(flow.endpoints.kafka, PARTITIONS)
