"""Signatures agree with the providers' own, and nothing else is let in."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from stripe import WebhookSignature

from connectors.sources.signatures import PRESETS, Scheme, SignatureError, sign, verify

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
BODY = '{"say": "grüß dich", "n": 1}'.encode()
SECRET = "whsec_for_tests"
SCHEMES = {
    **PRESETS,
    "own": Scheme(
        header="X-Own",
        prefix="v0=",
        timestamp_header="X-Own-Time",
        signed="v0:{timestamp}:{body}",
        tolerance_seconds=60,
    ),
}


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def signed(name: str, body: bytes = BODY, secret: str = SECRET, at: datetime = NOW) -> dict[str, str]:
    return lowered(sign(SCHEMES[name], body, secret, at))


@pytest.mark.parametrize("name", SCHEMES)
def test_what_is_signed_is_let_in_and_a_changed_byte_is_not(name: str) -> None:
    headers = signed(name)
    verify(SCHEMES[name], headers, BODY, [SECRET], NOW)
    with pytest.raises(SignatureError, match="does not match"):
        verify(SCHEMES[name], headers, BODY + b" ", [SECRET], NOW)
    with pytest.raises(SignatureError, match="does not match"):
        verify(SCHEMES[name], headers, BODY, ["another"], NOW)


@pytest.mark.parametrize("name", SCHEMES)
def test_while_a_secret_changes_both_count(name: str) -> None:
    verify(SCHEMES[name], signed(name, secret="old"), BODY, ["new", "old"], NOW)
    with pytest.raises(SignatureError):
        verify(SCHEMES[name], signed(name, secret="old"), BODY, ["new"], NOW)


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("secrets", [[], [""]])
def test_without_a_secret_nothing_is_let_in(name: str, secrets: list[str]) -> None:
    with pytest.raises(SignatureError):
        verify(SCHEMES[name], signed(name, secret=""), BODY, secrets, NOW)


@pytest.mark.parametrize("name", SCHEMES)
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(SignatureError, match=f"{SCHEMES[name].header} is missing"):
        verify(SCHEMES[name], {}, BODY, [SECRET], NOW)


@pytest.mark.parametrize("name", [name for name, scheme in SCHEMES.items() if scheme.has_time])
@pytest.mark.parametrize("direction", [-1, 1])
def test_an_old_or_early_signature_is_a_replay(name: str, direction: int) -> None:
    tolerance = timedelta(seconds=SCHEMES[name].tolerance_seconds)
    verify(SCHEMES[name], signed(name, at=NOW + direction * tolerance), BODY, [SECRET], NOW)
    late = signed(name, at=NOW + direction * (tolerance + timedelta(seconds=1)))
    with pytest.raises(SignatureError, match="seconds off"):
        verify(SCHEMES[name], late, BODY, [SECRET], NOW)


def test_stripe_by_its_own_library() -> None:
    header = WebhookSignature.generate_signature_header(BODY.decode(), SECRET, int(NOW.timestamp()))
    verify(PRESETS["stripe"], {"stripe-signature": header}, BODY, [SECRET], NOW)
    ours = sign(PRESETS["stripe"], BODY, SECRET, NOW)["Stripe-Signature"]
    assert WebhookSignature.verify_header(BODY, ours, SECRET)


def test_stripe_with_several_signatures_and_those_of_other_schemes() -> None:
    good = sign(PRESETS["stripe"], BODY, SECRET, NOW)["Stripe-Signature"]
    other = sign(PRESETS["stripe"], BODY, "rolled", NOW)["Stripe-Signature"].partition(",")[2]
    header = f"{good.partition(',')[0]},v0=6ffbb59b,{other}, {good.partition(',')[2]}"
    verify(PRESETS["stripe"], {"stripe-signature": header}, BODY, [SECRET], NOW)
    with pytest.raises(SignatureError, match="does not match"):
        verify(PRESETS["stripe"], {"stripe-signature": good.replace("v1=", "v0=")}, BODY, [SECRET], NOW)


def test_zendesk_by_the_example_of_its_documentation() -> None:
    headers = {
        "x-zendesk-webhook-signature": "tRDSF7URY8BLCDlaBcQ7FHu051Zk+aAB0NKMP53teMw=",
        "x-zendesk-webhook-signature-timestamp": "2021-07-25T10:00:00Z",
    }
    # This example is an old one, with the body before the time; since then Zendesk signs the time first.
    example = PRESETS["zendesk"].model_copy(update={"signed": "{body}{timestamp}"})
    secret = "HRkRd4BeOAoUkfZr-mhauJT64rvBASlJRoIyPsd3zeA="
    verify(example, headers, b'{"say": "hello"}', [secret], datetime(2021, 7, 25, 10, 1, tzinfo=UTC))


def test_shopify_and_zendesk_as_their_documentation_says() -> None:
    shopify = base64.b64encode(hmac.new(SECRET.encode(), BODY, hashlib.sha256).digest()).decode()
    assert sign(PRESETS["shopify"], BODY, SECRET, NOW) == {"X-Shopify-Hmac-Sha256": shopify}
    stamp = "2026-05-01T12:00:00Z"
    zendesk = base64.b64encode(hmac.new(SECRET.encode(), stamp.encode() + BODY, hashlib.sha256).digest()).decode()
    assert sign(PRESETS["zendesk"], BODY, SECRET, NOW) == {
        "X-Zendesk-Webhook-Signature": zendesk,
        "X-Zendesk-Webhook-Signature-Timestamp": stamp,
    }


@pytest.mark.parametrize("stamp", ["1777636800", "1777636800000", "2026-05-01T14:00:00+02:00", "2026-05-01T12:00:00"])
def test_times_are_seconds_milliseconds_or_iso(stamp: str) -> None:
    digest = hmac.new(SECRET.encode(), f"v0:{stamp}:".encode() + BODY, hashlib.sha256).hexdigest()
    verify(SCHEMES["own"], {"x-own": f"v0={digest}", "x-own-time": stamp}, BODY, [SECRET], NOW)


@given(st.sampled_from(sorted(SCHEMES)), st.text(max_size=200), st.text(max_size=30))
def test_no_header_breaks_it(name: str, header: str, stamp: str) -> None:
    scheme = SCHEMES[name]
    headers = {scheme.header.lower(): header, (scheme.timestamp_header or "x").lower(): stamp}
    with pytest.raises(SignatureError) as problem:
        verify(scheme, headers, BODY, [SECRET], NOW)
    assert not stamp.strip() or len(stamp) < 3 or stamp not in str(problem.value)


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({"signed": "nothing"}, "{body} once"),
        ({"signed": "{timestamp}.{body}"}, "{timestamp} once if"),
        ({"timestamp_header": "X-T"}, "{timestamp} once if"),
        ({"timestamp_key": "t", "signed": "{timestamp}{body}"}, "goes with signature_key"),
        ({"tolerance_seconds": 0}, "greater than 0"),
        ({"header": "two words"}, "pattern"),
    ],
)
def test_a_scheme_that_cannot_be_is_refused(given_: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Scheme.model_validate({"header": "X-Signature", **given_})
