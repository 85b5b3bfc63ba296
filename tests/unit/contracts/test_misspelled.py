"""A typo in a setting's name is said, with the setting that was meant."""

import pytest

from contracts.misspelled import unknown_settings
from contracts.settings import Settings


@pytest.mark.parametrize(
    ("name", "meant"),
    [("CRM_WORKER", "CRM_WORKERS"), ("CRM_BASECURRENCY", "CRM_BASE_CURRENCY"), ("CRM_PARTITION", "CRM_PARTITIONS"),
     ("crm_data_dri", "CRM_DATA_DIR"), ("CRM_KAFKA_BOOTSTRAP_SERVER", "CRM_KAFKA_BOOTSTRAP_SERVERS")],
)  # fmt: skip
def test_a_near_name_is_suggested(name: str, meant: str) -> None:
    assert unknown_settings([name]) == [f"{name} is not a setting and is ignored: did you mean {meant}?"]


def test_a_name_that_is_near_to_none_is_said_without_a_suggestion() -> None:
    (sentence,) = unknown_settings(["CRM_SHOE_SIZE"])
    assert "did you mean" not in sentence
    assert "docs/operations.md" in sentence


def test_settings_and_variables_of_others_are_fine() -> None:
    fine = [f"CRM_{name.upper()}" for name in Settings.model_fields]
    assert unknown_settings([*fine, "crm_workers", "CRM_WORKER_ADDRESSES", "CRMX", "PATH", "MY_CRM_WORKER"]) == []
