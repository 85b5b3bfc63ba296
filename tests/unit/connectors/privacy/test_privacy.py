"""Privacy rules: nothing that a rule protects leaves the door, in an event or in a refusal, its key or its headers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from connectors.door.door import Door
from connectors.privacy.addresses import truncated
from connectors.privacy.protection import Protector
from connectors.privacy.rules import PrivacyRules
from connectors.protocol import Record
from connectors.sources.source import Source
from contracts.errors import InputFileError, SettingsError
from contracts.identity import is_placeholder
from contracts.refused import REFUSED_KEY

KEY = SecretStr("a key of at least thirty-two letters")
PROTECTOR = Protector(KEY)
AT = "2026-05-01T10:00:00Z"


def door(**rules: Any) -> Door:
    return Door(Source(name="shop", privacy=PrivacyRules(**rules)), privacy_key=KEY)


def draft(properties: object, **changes: object) -> dict[str, object]:
    return {
        "event_id": "e-1", "name": "Signed Up", "customer_id": "c-1", "occurred_at": AT, "received_at": AT,
        "properties": properties, **changes,
    }  # fmt: skip


def body(record: Record) -> dict[str, Any]:
    return dict(json.loads(record.value or b""))


def admitted(properties: object, **rules: Any) -> object:
    return body(door(**rules).admit(draft(properties), {}))["properties"]


@pytest.mark.parametrize(
    ("rule", "properties", "kept"),
    [
        ("email", {"email": "a@b.c", "n": 1}, {"n": 1}),
        ("email", {"traits": {"email": "a@b.c", "n": 1}}, {"traits": {"n": 1}}),
        ("email", {"work_email": "a@b.c"}, {"work_email": "a@b.c"}),
        ("traits.email", {"email": "a@b.c", "traits": {"email": "x"}}, {"email": "a@b.c", "traits": {}}),
        ("properties.email", {"email": "x", "traits": {"email": "y"}}, {"traits": {"email": "y"}}),
        ("email", {"traits.email": "x"}, {}),
        ("traits.email", {"traits.email": "x"}, {}),
        ("items.name", {"items": [{"name": "x", "n": 1}, [{"name": "y"}], 3]}, {"items": [{"n": 1}, [{}], 3]}),
        ("traits", {"traits": {"a": {"b": 1}}}, {}),
        ("e-mail ß", {"e-mail ß": 1, "n": 1}, {"n": 1}),
        ('a"b', {'a"b': 1, "n": 1}, {"n": 1}),
        ("email", {"email": None, "n": 1}, {"n": 1}),
        ("nothing.of.this", {"n": 1}, {"n": 1}),
    ],
)
def test_a_rule_is_the_end_of_a_path(rule: str, properties: object, kept: object) -> None:
    assert admitted(properties, drop=[rule]) == kept


@pytest.mark.parametrize(
    ("value", "hashed"),
    [
        ("x", PROTECTOR.hash("x")),
        (42, PROTECTOR.hash("42")),
        (1.5, PROTECTOR.hash("1.5")),
        (True, PROTECTOR.hash("true")),
        (" Ann@Example.COM ", PROTECTOR.hash("ann@example.com")),
        (["x", 42], [PROTECTOR.hash("x"), PROTECTOR.hash("42")]),
        ({"b": 1, "a": 2}, PROTECTOR.hash('{"a":2,"b":1}')),
        ("", ""),
    ],
)
def test_a_hash_is_of_the_values_text(value: object, hashed: object) -> None:
    assert admitted({"secret": value}, hash=["secret"]) == {"secret": hashed}


def test_a_hash_depends_on_the_key_only() -> None:
    digest = str(PROTECTOR.hash("ann@example.com"))
    assert len(digest) == 32
    assert int(digest, 16)
    assert digest == Protector(KEY).hash("ann@example.com")
    assert digest != Protector(SecretStr("another key, as long as the first one")).hash("ann@example.com")


@pytest.mark.parametrize("value", ["x", "42", 42, 1.5, {"a": [1, None]}, ["x"], "", "\ud83d"])
def test_what_is_encrypted_can_be_read_back(value: object) -> None:
    token = PROTECTOR.encrypt(value)
    assert isinstance(token, str)
    assert token.startswith("enc:1:")
    assert token != PROTECTOR.encrypt(value)
    assert PROTECTOR.decrypt(f" {token}\n") == (value if value != "\ud83d" else "\\ud83d")
    assert PROTECTOR.encrypt(token) == token


CUT = str(PROTECTOR.encrypt("x"))[:-2]


@pytest.mark.parametrize("token", ["", "enc:1:", "enc:1:AAAA", "enc:1:äöü", "x" * 99, CUT], ids=range(6))
def test_what_is_not_encrypted_is_refused_without_its_value(token: str) -> None:
    with pytest.raises(InputFileError) as error:
        PROTECTOR.decrypt(token)
    assert not token or len(token) < 9 or token not in str(error.value)
    assert PROTECTOR.decrypt(str(PROTECTOR.encrypt(token))) == token


def test_another_key_reads_nothing() -> None:
    with pytest.raises(InputFileError):
        Protector(SecretStr("another key, as long as the first one")).decrypt(str(PROTECTOR.encrypt("x")))


def test_ids_keep_one_hash_in_all_spellings() -> None:
    rules = {"hash": ["user_id", "anonymous_id", "email"]}
    someone = PROTECTOR.hash("ann@example.com")
    changes = {"customer_id": "Ann@example.com", "anonymous_id": "v-1", "name": "Alias"}
    properties = {"previous_id": "ann@example.com", "traits": {"email": "ann@example.com", "userId": "ANN@example.com"}}
    record = door(**rules).admit(draft(properties, **changes), {})
    event = body(record)
    assert record.key == str(someone).encode()
    assert (event["customer_id"], event["anonymous_id"]) == (someone, PROTECTOR.hash("v-1"))
    assert event["properties"] == {"previous_id": someone, "traits": {"email": someone, "userId": someone}}
    merged = [{"type": "user_id", "value": "ann@example.com"}]
    message = {"userId": "ann@example.com", "previousId": "ann@example.com", "anonymousId": "v-1", "user_id": 7}
    assert body(door(**rules).refuse({**message, "mergeProperties": merged}, "x", "y")) == {
        "userId": someone, "previousId": someone, "anonymousId": PROTECTOR.hash("v-1"), "user_id": PROTECTOR.hash(7),
        "mergeProperties": [{"type": "user_id", "value": someone}],
    }  # fmt: skip


@pytest.mark.parametrize("nobody", ["null", "undefined", " None ", "0", "00000000-0000-0000-0000-000000000000", "-1"])
def test_ids_of_nobody_stay_recognisable(nobody: str) -> None:
    assert is_placeholder(nobody)
    hashing = door(hash=["customer_id"])
    assert body(hashing.admit(draft({"previous_id": nobody}), {}))["properties"]["previous_id"] == nobody
    assert body(hashing.admit(draft({}, customer_id=nobody), {"userId": nobody})) == {"userId": nobody}


@pytest.mark.parametrize("wrong", ["x" * 101, "a\nb", True, {"id": 1}])
def test_a_wrong_id_is_refused_and_hidden(wrong: object) -> None:
    record = door(hash=["customer_id"]).admit(draft({}, customer_id=wrong), {"userId": wrong})
    assert record.key == REFUSED_KEY
    assert body(record) == {"userId": PROTECTOR.hash(wrong)}


def test_a_dropped_customer_leaves_a_visitor() -> None:
    record = door(drop=["customer_id"]).admit(draft({"userId": "c-1"}, anonymous_id="v-1"), {})
    assert record.key == b"v-1"
    assert b"c-1" not in (record.value or b"")


@pytest.mark.parametrize(
    ("address", "cut"),
    [
        ("203.0.113.77", "203.0.113.0"),
        (" 203.0.113.77 ", "203.0.113.0"),
        ("2001:db8:aaaa:bbbb::1", "2001:db8:aaaa::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("::1", "::"),
        (["203.0.113.77", "x", "::1"], ["203.0.113.0", "::"]),
        ("203.0.113.77:443", None),
        ("203.0.113.77, 10.0.0.1", None),
        ("localhost", None),
        ("", None),
        (3405803853, None),
        ({"v4": "203.0.113.77"}, None),
        (None, None),
    ],
)
def test_addresses_are_cut_to_their_network(address: object, cut: object) -> None:
    assert truncated(address) == cut


def test_addresses_are_cut_unless_the_source_says_otherwise() -> None:
    properties = {"ip": "203.0.113.77", "context": {"ip": "2001:db8::1"}, "ship": "x", "ip_address": "?"}
    cut = {"ip": "203.0.113.0", "context": {"ip": "2001:db8::"}, "ship": "x"}
    assert admitted(properties) == admitted(properties, ip="truncate") == cut
    assert admitted(properties, ip="keep") == properties
    assert admitted(properties, ip="drop") == {"context": {}, "ship": "x"}
    hashed = {"ip": PROTECTOR.hash("203.0.113.77"), "context": {"ip": PROTECTOR.hash("2001:db8::1")}, "ship": "x"}
    assert admitted(properties, hash=["ip"]) == hashed


def test_drop_goes_before_hash_and_hash_before_encrypt() -> None:
    rules = {"drop": ["a"], "hash": ["x.a", "b"], "encrypt": ["x.b"]}
    assert admitted({"x": {"a": 1, "b": 2}}, **rules) == {"x": {"b": PROTECTOR.hash(2)}}


def test_what_is_inside_is_protected_first() -> None:
    kept = admitted({"traits": {"phone": "555", "city": "Rome"}}, drop=["phone"], encrypt=["traits"])
    assert isinstance(kept, dict)
    assert PROTECTOR.decrypt(kept["traits"]) == {"city": "Rome"}


def test_a_refused_item_is_protected_under_other_names_too() -> None:
    original = {"Mail": "ann@example.com", "Rows": [["+49 555", 7]], "ok": True}
    properties = {"email": "ann@example.com", "traits": {"phone": "+49 555", "vip": True}}
    record = door(hash=["email"], drop=["traits"]).admit(draft(properties, event_id=None), original)
    assert body(record) == {"Mail": PROTECTOR.hash("ann@example.com"), "Rows": [[None, 7]], "ok": True}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"email": "ann@', False),
        ('{"EMAIL": "ann@', False),
        ('{"\\u0065mail": "ann@', False),
        ('{"e\x00m\x00a\x00i\x00l\x00', False),
        (b"\x1f\x8b\x08packed\xff", False),
        ('{"total": 5,', True),
        ("<html>", True),
    ],
)
def test_a_text_that_is_no_json_is_kept_only_without_a_protected_name(text: str | bytes, kept: bool) -> None:
    record = door(drop=["traits.email"]).refuse(text, "body", "is not valid JSON")
    assert (json.loads(record.value or b"") == text) == kept
    assert kept or "withheld" in body(record)


def test_a_text_that_is_json_is_kept_as_such() -> None:
    text = '{"traits": {"email": "ann@example.com", "n": 1}}'
    assert body(door(drop=["email"]).refuse(text, "body", "has too many bytes")) == {"traits": {"n": 1}}
    assert json.loads(door().refuse(text, "a", "b").value or b"") == text


def test_json_texts_within_what_is_refused_are_protected() -> None:
    inner = json.dumps({"email": "ann@example.com", "n": 1, "more": json.dumps({"traits": {"email": "x@y.z"}})})
    original = {"row": {"payload": inner, "broken": '{"email": "ann@', "note": "nothing"}, "list": [inner]}
    kept = body(door(drop=["email"]).refuse(original, "a", "b"))
    payload = json.loads(kept["row"]["payload"])
    assert payload == {"n": 1, "more": '{"traits":{}}'}
    assert json.loads(kept["list"][0]) == payload
    assert (kept["row"]["broken"]["characters"], kept["row"]["note"]) == (15, "nothing")
    assert body(door(ip="keep").refuse(original, "a", "b")) == original


def test_values_of_an_event_are_protected_in_json_texts_too() -> None:
    text = json.dumps({"email": "ann@example.com", "contact": "ann@example.com", "number": 1042})
    changes = {"event_id": None, "customer_id": "1042"}
    guarded = door(hash=["email", "customer_id"])
    kept = body(guarded.admit(draft({"email": "ann@example.com"}, **changes), {"payload": text, "id": 1042}))
    hashed = PROTECTOR.hash("ann@example.com")
    number = PROTECTOR.hash("1042")
    assert kept["id"] == number
    assert json.loads(kept["payload"]) == {"email": hashed, "contact": hashed, "number": number}


def test_no_write_key_is_kept() -> None:
    cut = door().refuse('{"writeKey":"wk_x","type":', "body", "is not valid JSON")
    assert json.loads(cut.value or b"") == '{"writeKey":"...","type":'
    assert body(door(ip="keep").refuse({"writeKey": "wk_x", "type": "track"}, "event", "is required")) == {
        "type": "track"
    }


def test_a_consent_is_kept_as_it_came() -> None:
    consent = {"categoryPreferences": {"Advertising": False, "Analytics": True}, "version": 2}
    assert admitted({"context": {"consent": consent}}) == {"context": {"consent": consent}}
    assert admitted({"context": {"consent": consent}}, drop=["consent"]) == {"context": {}}


@pytest.mark.parametrize(
    ("consent", "kept", "flag"),
    [
        (True, {"categoryPreferences": {}}, "context.consent: is not an object"),
        ({"categoryPreferences": "all"}, {"categoryPreferences": {}}, "categoryPreferences: is not an object"),
        (
            {"categoryPreferences": {"Ads": "yes", "Analytics": True}, "v": 1},
            {"categoryPreferences": {"Analytics": True}, "v": 1},
            "categoryPreferences.Ads: is not true or false",
        ),
    ],
)
def test_a_wrong_consent_grants_nothing(consent: object, kept: object, flag: str) -> None:
    properties = admitted({"context": {"consent": consent}})
    assert isinstance(properties, dict)
    assert properties["context"]["consent"] == kept
    assert properties["plan_violations"] == [f"context.consent.{flag}".replace("context.consent.context", "context")]


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ({"drop": ["email"], "hash": ["email"]}, "email: stands twice"),
        ({"hash": ["email", "email"]}, "email: stands twice"),
        ({"encrypt": ["user_id"]}, "user_id: cannot be encrypted"),
        ({"drop": ["properties"]}, "properties: would take all"),
        ({"drop": ["a..b"]}, "drop.0"),
        ({"drop": [""]}, "drop.0"),
        ({"drop": "email"}, "drop"),
        ({"ip": "blur"}, "ip"),
        ({"mask": ["email"]}, "mask"),
    ],
)
def test_wrong_rules_are_named(rules: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as error:
        PrivacyRules(**rules)
    told = [".".join(map(str, one["loc"])) + one["msg"] for one in error.value.errors()]
    assert any(said in text for text in told)


def test_rules_that_need_a_key_say_how_to_make_one() -> None:
    source = Source(name="shop", privacy=PrivacyRules(hash=("email",)))
    with pytest.raises(SettingsError, match="crmstream privacy key"):
        Door(source)
    Door(Source(name="shop", privacy=PrivacyRules(drop=("email",))))


PROTECTED = {"drop": ["phone", "address.street"], "hash": ["email", "customer_id"], "encrypt": ["note"]}
MARK = "§"  # of every protected value; it stands in no other one
marked = st.text('abc é"\\\n1', max_size=6).map(lambda text: MARK + text + MARK)
plain = st.none() | st.booleans() | st.integers() | st.text("abc", max_size=5)
secrets = st.recursive(
    marked, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz"), inner, max_size=3)
)


def documents(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    fields = {"phone": secrets, "email": secrets, "note": secrets, "userId": marked, "traits.phone": secrets}
    fields["address"] = st.fixed_dictionaries({"street": secrets}, optional={"city": plain})
    return st.fixed_dictionaries({}, optional={**fields, "a": inner, "items": st.lists(inner, max_size=2)})


nested = st.recursive(plain, documents, max_leaves=10)
objects = documents(nested)


def bytes_of(record: Record) -> Iterator[bytes]:
    yield from (record.key or b"", record.value or b"")
    for name, value in record.headers:
        yield from (name.encode(), value)


@given(objects, objects, marked, st.sampled_from([AT, "yesterday"]))
def test_nothing_protected_leaves_the_door(properties: object, original: object, customer: str, at: str) -> None:
    guarded = door(**PROTECTED)
    record = guarded.admit(draft(properties, customer_id=customer, occurred_at=at), original)
    assert (record.key == REFUSED_KEY) == (at != AT or any(letter in customer for letter in "\n"))
    text = json.dumps(original)
    others = [guarded.refuse(item, "a", "b") for item in (original, text, {"a": [text]})]
    for part in (part for one in (record, *others) for part in bytes_of(one)):
        assert MARK.encode() not in part
        assert b"\\u00a7" not in part


@pytest.mark.parametrize("rule", [{"hash": ["email"]}, {"encrypt": ["traits.email"]}, {"drop": ["E-Mail"]}])
@pytest.mark.parametrize("field", ["customer_id", "anonymous_id"])
def test_a_rule_for_addresses_holds_for_an_id_that_is_one(rule: dict[str, list[str]], field: str) -> None:
    ids = {"customer_id": None, field: " Ann@Shop.example"}
    record = door(**rule).admit(draft({"n": 1}, **ids), {})
    assert body(record)[field] == PROTECTOR.hash("ann@shop.example")
    assert record.key == str(PROTECTOR.hash("ann@shop.example")).encode()


def test_a_rule_for_addresses_leaves_other_ids() -> None:
    record = door(hash=["email"]).admit(draft({"email": "ann@shop.example"}, customer_id="c-1"), {})
    assert (body(record)["customer_id"], record.key) == ("c-1", b"c-1")


def test_a_rule_for_addresses_holds_for_the_former_id() -> None:
    record = door(hash=["email"]).admit(draft({"previous_id": "ann@shop.example"}, name="Alias"), {})
    assert body(record)["properties"]["previous_id"] == PROTECTOR.hash("ann@shop.example")


@pytest.mark.parametrize(
    "original",
    [
        {"userId": "Ann@shop.example"},
        {"billing": "Ann@Shop.example "},
        {"raw": '{"customer_id": "ann@shop.example"}'},
        '{"customer_id": "ann@shop.example"',
    ],
)
def test_no_address_that_is_an_id_is_left_in_what_is_refused(original: object) -> None:
    refused = draft({}, customer_id="ann@shop.example", occurred_at="1860-01-01T00:00:00Z")
    record = door(hash=["email"]).admit(refused, original)
    assert record.key == REFUSED_KEY
    assert b"shop.example" not in (record.value or b"").lower()


def test_an_address_that_is_dropped_without_a_key_is_no_id() -> None:
    keyless = Door(Source(name="shop", privacy=PrivacyRules(drop=("email",))))
    record = keyless.admit(draft({"n": 1}, customer_id="ann@shop.example"), {"email": "ann@shop.example"})
    assert record.key == REFUSED_KEY
    assert b"shop.example" not in (record.value or b"")
    visitor = keyless.admit(draft({"n": 1}, customer_id="ann@shop.example", anonymous_id="v-1"), {})
    assert (visitor.key, "customer_id" in body(visitor)) == (b"v-1", False)
