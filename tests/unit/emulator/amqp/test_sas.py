"""Tokens: the SDK's own are believed, and nothing that differs in one place."""

import base64
import hashlib
import hmac
from urllib.parse import quote_plus

import pytest
from azure.eventhub._client_base import _generate_sas_token
from hypothesis import given
from hypothesis import strategies as st

from goldwire_emulator.amqp.claims import Claims, covers, path_of
from goldwire_emulator.amqp.endpoint import AmqpError, Right
from goldwire_emulator.amqp.sas import JWT_KIND, SAS_KIND, Policy, SasAuthority, sas_token

NOW = 1000.0
ROOT = Policy("root", "a key with = and /+")
ORDERS = Policy("orders", "another", frozenset({Right.SEND}), "orders")


def authority(now=NOW, **settings):
    return SasAuthority([ROOT, ORDERS], lambda: now, **settings)


def test_a_token_of_the_sdk_is_believed():
    token = _generate_sas_token("sb://localhost/orders", ROOT.name, ROOT.key).token
    claim = authority().verify(token.decode() if isinstance(token, bytes) else token, SAS_KIND, "sb://localhost/orders")
    assert (claim.path, claim.rights) == ("orders", frozenset(Right))
    assert claim.expires_at > NOW


def test_entities_may_have_policies_of_the_same_name():
    policies = [
        Policy("app", "one", frozenset({Right.SEND}), "orders"),
        Policy("app", "two", frozenset({Right.LISTEN}), "bills"),
    ]
    both = SasAuthority(policies, lambda: NOW)
    for policy in policies:
        uri = f"sb://h/{policy.path}"
        claim = both.verify(sas_token(policy, uri, 2000), SAS_KIND, uri)
        assert (claim.path, claim.rights) == (policy.path, policy.rights)
        assert both.verify_plain("app", policy.key).path == policy.path


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), st.integers(1, 10**6))
def test_any_path_can_be_signed(path, life):
    uri = f"sb://host/{quote_plus(path)}"
    token = sas_token(ROOT, uri, int(NOW) + life)
    claim = authority().verify(token, SAS_KIND, uri)
    assert claim.path == path_of(uri)
    assert claim.expires_at == NOW + life


@given(st.data())
def test_a_token_that_was_changed_in_one_place_is_not_believed(data):
    token = sas_token(ROOT, "sb://host/orders", int(NOW) + 50)
    index = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda one: one != token[index]))
    changed = token[:index] + other + token[index + 1 :]
    if changed.lower() != token.lower():  # the case of an escape in the signature means nothing
        with pytest.raises(AmqpError, match="unauthorized-access"):
            authority().verify(changed, SAS_KIND, "sb://host/orders")


@pytest.mark.parametrize(
    ("token", "kind", "audience", "told"),
    [
        (sas_token(ROOT, "sb://h/orders", 1000), SAS_KIND, "sb://h/orders", "ExpiredToken"),
        (sas_token(ROOT, "sb://h/orders", 2000), SAS_KIND, "sb://h/orders2", "InvalidAudience"),
        (sas_token(ROOT, "sb://h/orders", 2000), SAS_KIND, "sb://h/", "InvalidAudience"),
        (sas_token(ORDERS, "sb://h/others", 2000), SAS_KIND, "sb://h/others", "InvalidAudience"),
        (sas_token(Policy("root", "no"), "sb://h/orders", 2000), SAS_KIND, "sb://h/orders", "InvalidSignature"),
        (sas_token(Policy("nobody", "no"), "sb://h/orders", 2000), SAS_KIND, "sb://h/orders", "InvalidSignature"),
        ("Bearer x", SAS_KIND, "sb://h/orders", "MalformedToken"),
        ("SharedAccessSignature ", SAS_KIND, "sb://h/orders", "InvalidSignature"),
        ("eyJ", JWT_KIND, "sb://h/orders", "InvalidTokenType"),
        ("x", "something", "sb://h/orders", "InvalidTokenType"),
    ],
)
def test_a_token_that_is_not_believed_says_why(token, kind, audience, told):
    with pytest.raises(AmqpError, match=told) as caught:
        authority().verify(token, kind, audience)
    assert ROOT.key not in str(caught.value)


def test_an_expiry_that_is_signed_but_no_number_is_refused():
    uri = quote_plus("sb://h/orders")
    digest = hmac.new(ROOT.key.encode(), f"{uri}\nnever".encode(), hashlib.sha256).digest()
    token = f"SharedAccessSignature sr={uri}&sig={quote_plus(base64.b64encode(digest))}&se=never&skn=root"
    with pytest.raises(AmqpError, match="ExpiredToken"):
        authority().verify(token, SAS_KIND, "sb://h/orders")


def test_a_policy_of_an_entity_gives_that_entity_only():
    claim = authority().verify(sas_token(ORDERS, "sb://h/", 2000), SAS_KIND, "sb://h/")
    claims = Claims(lambda: NOW)
    claims.add(claim)
    assert claims.until("orders/Partitions/1", frozenset({Right.SEND})) == 2000
    assert claims.until("ORDERS", frozenset({Right.SEND})) == 2000
    assert claims.until("orders", frozenset({Right.LISTEN})) is None
    assert claims.until("ordersX", frozenset({Right.SEND})) is None
    assert claims.until("others", frozenset({Right.SEND})) is None


def test_a_token_for_the_namespace_gives_a_policy_of_an_entity_no_other_entity():
    """The service takes a token for a wider place, but what it gives ends where the policy does."""
    token = sas_token(ORDERS, "sb://h/", 2000)
    assert authority().verify(token, SAS_KIND, "sb://h/orders").path == "orders"
    with pytest.raises(AmqpError, match="belongs to another entity"):
        authority().verify(token, SAS_KIND, "sb://h/others-with-a-longer-name")


def test_a_claim_ends_and_a_new_one_takes_its_place():
    now = [NOW]
    claims = Claims(lambda: now[0])
    for expiry in (1010, 1020):
        claims.add(authority().verify(sas_token(ROOT, "sb://h/orders", expiry), SAS_KIND, "sb://h/orders"))
    now[0] = 1015.0
    assert claims.until("orders", frozenset({Right.SEND})) == 1020
    now[0] = 1020.0
    assert claims.until("orders", frozenset({Right.SEND})) is None
    assert claims.until("orders", frozenset()) == float("inf")


def test_a_key_shows_nowhere():
    assert ROOT.key not in repr(ROOT) + str([ROOT]) + f"{ROOT}"


@pytest.mark.parametrize(
    ("uri", "path"),
    [
        ("sb://host/Orders/", "orders"),
        ("amqps://host:5671/orders/ConsumerGroups/$Default", "orders/consumergroups/$default"),
        ("sb://host/a%20b%2Fc", "a b/c"),
        ("orders", "orders"),
        ("sb://host", ""),
    ],
)
def test_an_audience_names_a_path(uri, path):
    assert path_of(uri) == path


def test_a_path_covers_what_lies_beneath_it():
    assert covers("", "anything")
    assert covers("a", "a/b")
    assert not covers("a", "ab")
    assert not covers("a/b", "a")
