"""The webhook part of a source: what is wrong is told by its line, and a secret is never told."""

from pathlib import Path

import pytest

from connectors.sources.signatures import PRESETS
from connectors.sources.source import load_sources
from connectors.sources.webhook import MissingSecretError, WebhookPart, scheme_of
from contracts.errors import InputFileError


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("mapping: stripe, secret: whsec_SECRET", "webhook.secret.0: must be the name of an environment variable"),
        ("mapping: stripe", "secret: must name the environment variable"),
        ("mapping: stripe, signature: none, secret: A", "secret: must name the environment variable"),
        ("secret: A", "webhook.mapping: field required"),
        ("mapping: stripe, secret: A, signature: md5", "webhook.signature"),
        ("mapping: stripe, secret: A, signature: {header: X, signed: x}", r"must hold \{body\} once"),
        ("mapping: stripe, secret: A, secrets: B", "webhook.secrets: unknown key; did you mean secret?"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, part: str, said: str) -> None:
    path = tmp_path / "sources.yaml"
    path.write_text(f"sources:\n  pay:\n    webhook: {{{part}}}\n")
    with pytest.raises(InputFileError, match=said) as problem:
        load_sources(path)
    assert "SECRET" not in str(problem.value)
    assert "line " in str(problem.value)


def test_secrets_are_those_that_are_set() -> None:
    part = WebhookPart.model_validate({"mapping": "stripe", "secret": ["A", "B"]})
    assert part.secrets({"A": "one", "B": "two"}) == ("one", "two")
    assert part.secrets({"A": " ", "B": "two\n"}) == ("two",)
    with pytest.raises(MissingSecretError, match="A or B"):
        part.secrets({"A": ""})


def test_the_scheme_is_the_sources_own_or_that_of_its_mapping() -> None:
    def scheme(default: str | None, **more: object) -> object:
        part = WebhookPart.model_validate({"mapping": "m", "secret": "A", **more})
        return scheme_of(part, default)  # type: ignore[arg-type]

    assert scheme("shopify") == PRESETS["shopify"]
    assert scheme("shopify", signature="stripe") == PRESETS["stripe"]
    assert scheme(None) == PRESETS["hmac-sha256"]
    assert scheme("shopify", signature="none", secret=[]) is None
