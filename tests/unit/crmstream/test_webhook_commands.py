"""``crmstream webhook``, and the commands of the pages about webhooks: they do what the pages say, from the root."""

import json
import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from connectors.sources.signatures import PRESETS, sign
from connectors.webhooks.mapping import shipped_mappings, shipped_text
from contracts.events import EVENT_TYPES
from crmstream import cli

ROOT = Path(__file__).parents[3]
NAMES = ("webhooks", "stripe", "shopify", "woocommerce", "zendesk")
PAGES = [ROOT / "docs" / "sources" / f"{name}.md" for name in NAMES]
SAMPLES = "docs/sources/samples"


def commands(page: Path) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines()]


TRIALS = [(page.stem, line) for page in PAGES for line in commands(page) if " send " not in line]


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("CRM_DATA_DIR", str(tmp_path))
    return CliRunner(env={"COLUMNS": "140", "TERM": "dumb", "NO_COLOR": "1"})


def run(runner: CliRunner, line: str, code: int = 0, **more: object) -> str:
    answer = runner.invoke(cli.app, shlex.split(line)[1:], **more)  # type: ignore[arg-type]
    assert answer.exit_code == code, answer.output
    return answer.output


def test_every_page_has_commands() -> None:
    assert {page for page, _ in TRIALS} == {page.stem for page in PAGES}


@pytest.mark.parametrize(("page", "line"), TRIALS, ids=[line for _, line in TRIALS])
def test_the_commands_of_the_pages_run(runner: CliRunner, tmp_path: Path, page: str, line: str) -> None:
    line, _, target = line.partition(" > ")
    if "my-stripe.yaml" in line:
        (tmp_path / "my-stripe.yaml").write_text(shipped_text("stripe"))
        line = line.replace("my-stripe.yaml", str(tmp_path / "my-stripe.yaml"))
    out = run(runner, line, code=int("generic-list" in line))
    assert not target or out == shipped_text(line.split()[-1])
    if " test " in line:
        assert "ignored" in out.lower() or any(name in out for name in [*EVENT_TYPES, "Subscription Cancelled"])


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.stem)
def test_a_provider_page_tells_of_every_event(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    names = set(re.findall(r"^ +(?:- )?name: ([A-Z].+?)(?: #.*)?$", shipped_text(page.stem), re.MULTILINE))
    assert names
    assert all(name in text or name.rpartition(" ")[2] in text for name in names)


@pytest.mark.parametrize(
    ("mark", "encoding"), [("\ufeff", "utf-8"), ("", "utf-8"), ("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be")]
)
def test_a_sample_may_begin_with_a_byte_order_mark(
    runner: CliRunner, tmp_path: Path, mark: str, encoding: str
) -> None:
    text = (ROOT / SAMPLES / "stripe-charge-succeeded.json").read_text(encoding="utf-8")
    (tmp_path / "charge.json").write_bytes((mark + text).encode(encoding))
    out = run(runner, f"crmstream webhook test {tmp_path}/charge.json --json")
    assert json.loads(out)["events"][0]["name"] == "Order Completed"


@pytest.mark.parametrize(
    ("mark", "encoding"), [("\ufeff", "utf-8"), ("", "utf-8"), ("\ufeff", "utf-16-le"), ("", "utf-16-be")]
)
def test_a_file_to_check_against_a_plan_may_begin_with_one(
    runner: CliRunner, tmp_path: Path, mark: str, encoding: str
) -> None:
    (tmp_path / "plan.yaml").write_text("events: {Signed Up: {properties: {city: string}}}\n")
    event = {"name": "Signed Up", "customer_id": "c-1", "occurred_at": "2026-05-01T10:00:00Z"}
    lines = "".join(json.dumps({**event, "properties": {"city": city}}) + "\n" for city in ("Köln", "Ulm"))
    (tmp_path / "events.jsonl").write_bytes((mark + lines).encode(encoding))
    out = run(runner, f"crmstream plan check {tmp_path}/plan.yaml --file {tmp_path}/events.jsonl --json")
    report = json.loads(out)
    assert (report["refused"], report["lines_without_event"]) == ([], [])
    assert [one["count"] for one in report["events"]] == [2]


def test_a_sample_is_shown_with_what_matters(runner: CliRunner) -> None:
    out = run(runner, f"crmstream webhook test {SAMPLES}/stripe-charge-refunded.json")
    assert out.splitlines()[0] == "stripe (charge.refunded): 1 event"
    for text in ("Order Refunded", "transaction", "c-000042", "2023-03-19T21:56:40Z", "total", "4.0", "USD"):
        assert text in out


def test_what_is_refused_is_told_and_the_exit_code_says_so(runner: CliRunner) -> None:
    out = run(runner, f"crmstream webhook test {SAMPLES}/generic-list.json --mapping generic", code=1)
    assert "generic: 1 event, 1 refused" in out
    assert "Refused: customer_id one of customer_id and anonymous_id is required." in out


def test_what_is_ignored_says_why(runner: CliRunner) -> None:
    out = run(runner, f"crmstream webhook test {SAMPLES}/stripe-payment-intent-succeeded.json")
    assert "Ignored: the charge tells of this payment (charge.succeeded)." in out


def test_standard_input_and_a_dead_letter_are_samples_too(runner: CliRunner) -> None:
    body = json.loads((ROOT / SAMPLES / "shopify-order-paid.json").read_text())
    letter = json.dumps({"headers": {"X-Shopify-Topic": "orders/paid"}, "body": body})
    told = json.loads(run(runner, "crmstream webhook test - --json", input=letter))
    assert (told["type"], told["events"][0]["properties"]["total"]) == ("orders/paid", 369.97)


@pytest.mark.parametrize("secret", ["right", "wrong"])
def test_a_source_is_tried_with_its_own_mapping_and_its_signature_is_checked(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str
) -> None:
    (tmp_path / "mine.yaml").write_text(shipped_text("shopify").replace("Order Completed", "Order Cancelled"))
    (tmp_path / "sources.yaml").write_text("sources: {shop: {webhook: {mapping: mine.yaml, secret: SHOP_SECRET}}}")
    monkeypatch.setenv("SHOP_SECRET", "right")
    sample = (ROOT / SAMPLES / "shopify-order-paid.json").read_bytes()
    ((name, value),) = sign(PRESETS["shopify"], sample, secret, datetime.now(UTC)).items()
    line = (
        f"crmstream webhook test {SAMPLES}/shopify-order-paid.json --source shop --json "
        f"--header 'X-Shopify-Topic: orders/paid' --header '{name}: {value}'"
    )
    told = json.loads(run(runner, line, code=int(secret == "wrong")))
    assert told["signature"] == ("good" if secret == "right" else "bad: the signature does not match")
    names = [(event["name"], event["source"]) for event in told["events"]]
    assert names == [("Order Cancelled", "shop"), ("Identify", "shop")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"test {SAMPLES}/shopify-order-paid.json", "X-Shopify-Topic: orders/paid"),
        ("test nothing.json", "nothing.json can't be read"),
        ("test README.md", "no sample of a webhook: the body is not valid JSON"),
        (f"test {SAMPLES}/generic-order.json --mapping strype", "Shipped ones: generic"),
        (f"test {SAMPLES}/generic-order.json --source pay", "has no source pay with a `webhook:` part"),
        (f"test {SAMPLES}/generic-order.json --source pay --mapping stripe", "not both"),
        (f"test {SAMPLES}/generic-order.json --header nonsense", "write it as 'Name: value'"),
        ("mapping strype", "There are: generic"),
        (f"send {SAMPLES}/generic-order.json --source pay", "has no source pay with a `webhook:` part"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(runner: CliRunner, line: str, said: str) -> None:
    assert said in run(runner, f"crmstream webhook {line}", code=1)


def test_sending_needs_the_secret_and_a_collector(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources.yaml").write_text("sources: {pay: {webhook: {mapping: stripe, secret: PAY_SECRET}}}")
    line = f"crmstream webhook send {SAMPLES}/stripe-charge-succeeded.json --source pay --url http://127.0.0.1:1"
    assert "set the environment variable PAY_SECRET" in run(runner, line, code=1)
    monkeypatch.setenv("PAY_SECRET", "s")
    assert "No collector answers at http://127.0.0.1:1" in run(runner, line, code=1)


def test_the_list_has_every_shipped_mapping(runner: CliRunner) -> None:
    listed = json.loads(run(runner, "crmstream webhook list --json"))
    assert [one["mapping"] for one in listed] == list(shipped_mappings())
