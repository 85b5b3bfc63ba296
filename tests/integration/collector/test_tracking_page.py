"""The commands of docs/sources/tracking-api.md, run as they stand there."""

import re
import subprocess
from pathlib import Path

import pytest
from support.collecting import CollectorProcess, read_records

from crmstream.stack.parts import KafkaPart

pytestmark = pytest.mark.stack
PAGE = Path(__file__).parents[3] / "docs" / "sources" / "tracking-api.md"
BLOCKS = [
    block
    for block in re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if block.startswith("curl ")
]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_curl_is_answered(block: str, collector: CollectorProcess) -> None:
    script = "set -e\n" + block.replace("http://127.0.0.1:8080", collector.url).replace("curl ", "curl -sSf ")
    done = subprocess.run(
        ["bash", "-c", script], env={"WRITE_KEY": "wk_shop", "PATH": "/usr/bin:/bin"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert b'"success":true' in done.stdout


def test_what_curl_sent_is_in_kafka(broker: KafkaPart, collector: CollectorProcess) -> None:
    events, _ = read_records(broker.endpoint())
    names = {event.get("name") for event in events if event.get("customer_id") == "c-42"}
    assert {"Order Completed", "Identify", "Email Opened"} <= names
