"""Tokens over the wire: a right is given, prolonged, ended and refused."""

import pytest

from goldwire_emulator.amqp.claims import Claim
from goldwire_emulator.amqp.endpoint import Right
from goldwire_emulator.amqp.message import Message
from goldwire_emulator.amqp.performatives import (
    Attach,
    Detach,
    Flow,
    Properties,
    Source,
    Target,
    Transfer,
)
from goldwire_emulator.amqp.sas import SAS_KIND, Policy, SasAuthority, sas_token
from support.amqp_client import POLICY, run, sent


def test_a_right_that_ends_ends_its_links():
    now = [0.0]

    class Brief:
        def verify_plain(self, *_):
            return Claim("", frozenset({Right.MANAGE}), 0.2)

    async def test(client, *_):
        await client.open()
        await client.begin()
        await client.receiver()
        now[0] = 1.0
        assert (await client.expect(Detach)).error.condition == "amqp:unauthorized-access"

    run(test, authority=Brief(), now=lambda: now[0])


async def put_token(client, token, *, kind=SAS_KIND, audience="sb://h/shelf"):
    request = Message(
        properties=Properties(message_id="ask", reply_to="answers"),
        application_properties={"operation": "put-token", "type": kind, "name": audience},
        value=token,
    )
    client.send(sent(request.encode(), 0, handle=5))
    while True:
        found = await client.next()
        if isinstance(found.performative, Transfer):
            client.handle = found.performative.handle
            return Message.decode(found.payload)


async def open_cbs(client):
    await client.open(response=b"\0nobody-yet\0key")
    await client.begin()
    client.send(Attach("in", 4, role=True, source=Source("$cbs"), target=Target("answers")))
    await client.expect(Attach)
    client.send(Flow(handle=4, link_credit=10, incoming_window=100, delivery_count=0))
    client.send(Attach("out", 5, role=False, source=Source("s"), target=Target("$cbs"), initial_delivery_count=0))
    await client.expect(Attach)
    await client.expect(Flow)


def test_an_answer_goes_where_the_request_asks_for_it():
    async def test(client, *_):
        await open_cbs(client)
        client.send(Attach("other", 6, role=True, source=Source("$cbs"), target=Target("others")))
        await client.expect(Attach)
        client.send(Flow(handle=6, link_credit=10, incoming_window=100, delivery_count=0))
        await put_token(client, "nonsense")
        assert client.handle == 4

    run(test, authority=SasAuthority([POLICY, NOBODY], lambda: 0.0))


NOBODY = Policy("nobody-yet", "key", frozenset())


def test_a_token_gives_a_right_and_a_fresh_one_prolongs_it():
    now = [1000.0]

    async def test(client, *_):
        await open_cbs(client)
        answer = await put_token(client, sas_token(POLICY, "sb://h/shelf", 1001))
        assert answer.properties.correlation_id == "ask"
        assert answer.application_properties["status-code"] == answer.application_properties["statusCode"] == 202
        await client.receiver()
        await put_token(client, sas_token(POLICY, "sb://h/shelf", 1002))
        now[0] = 1001.5
        await put_token(client, sas_token(POLICY, "sb://h/shelf", 1003))
        client.send(Flow(handle=1, link_credit=0, incoming_window=100, delivery_count=0, echo=True))
        assert (await client.expect(Flow)).handle == 1
        now[0] = 1003.0
        assert "ExpiredToken" in (await client.expect(Detach)).error.description

    authority = SasAuthority([POLICY, NOBODY], lambda: now[0])
    run(test, authority=authority, now=lambda: now[0])


@pytest.mark.parametrize(
    ("given_token", "status"),
    [
        ({"token": "nonsense"}, 401),
        ({"token": "eyJ", "kind": "jwt"}, 401),
        ({"token": sas_token(POLICY, "sb://h/shelf", 2000), "audience": "sb://h/other"}, 401),
        ({"token": None}, 400),
        ({"token": b"bytes"}, 400),
        ({"token": "x", "audience": None}, 400),
    ],
)
def test_a_token_that_gives_nothing_says_so(given_token, status):
    async def test(client, *_):
        await open_cbs(client)
        answer = await put_token(client, **given_token)
        assert answer.application_properties["status-code"] == status
        assert answer.application_properties["status-description"]

    run(test, authority=SasAuthority([POLICY, NOBODY], lambda: 1000.0), now=lambda: 1000.0)
