"""The offers under which models are used, their tokens, and whose terms hold."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
from access_requests import CLAUDE, JURASSIC, TITAN, agree
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, Inside, running_inside, whole
from statements import OTHER, allow, document

from outcrop.config import ModelAccess as AccessConfig
from outcrop.stores.model_records import ModelAccess
from outcrop.wire.http import Request


@pytest.fixture
async def closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    none = AccessConfig(default="none")
    async with running_inside(tmp_path, monkeypatch, OTHER, access=none) as inside:
        yield inside


@pytest.fixture
def boss(closed: Inside) -> Client:
    return closed.client(ADMIN)


async def offer_of(client: Client, model: str, **params: Any) -> dict[str, Any]:
    listed = await client.ask(
        "bedrock", "ListFoundationModelAgreementOffers", modelId=model, **params
    )
    (offer,) = listed["offers"]
    return offer


async def is_taken(client: Client, model: str, token: str) -> bool:
    try:
        await client.ask(
            "bedrock", "CreateFoundationModelAgreement", modelId=model, offerToken=token
        )
    except ClientError as error:
        answer: Any = error.response
        assert answer["Error"]["Code"] == "ValidationException"
        assert "offer token" in answer["Error"]["Message"]
        return False
    return True


async def test_an_offer_states_the_prices_of_the_catalog(boss: Client) -> None:
    terms = (await offer_of(boss, CLAUDE))["termDetails"]
    rates = terms["usageBasedPricingTerm"]["rateCard"]
    assert {rate["dimension"]: rate["price"] for rate in rates} == {
        "InputTokenCount": "0.008",
        "OutputTokenCount": "0.024",
    }
    assert terms["supportTerm"]["refundPolicyDescription"]
    small = (await offer_of(boss, "amazon.nova-micro-v1:0"))["termDetails"]
    assert small["usageBasedPricingTerm"]["rateCard"][0]["price"] == "0.000035"
    unknown = (await offer_of(boss, "ai21.j2-jumbo-instruct"))["termDetails"]
    assert unknown["usageBasedPricingTerm"]["rateCard"] == []


async def test_an_offer_is_public(boss: Client) -> None:
    wanted = (await offer_of(boss, CLAUDE))["offerId"]
    for offer_type in ("ALL", "PUBLIC"):
        assert (await offer_of(boss, CLAUDE, offerType=offer_type))["offerId"] == wanted


async def test_every_model_has_a_link_to_its_terms(closed: Inside, boss: Client) -> None:
    for model in {each.provider: each for each in closed.deployment.catalog.all()}.values():
        terms = (await offer_of(boss, model.id))["termDetails"]
        url = urlsplit(str(terms["legalTerm"]["url"]))
        page = await closed.app.handle(Request("GET", url.path, "", (), b"", url.netloc))
        assert page.status == 200
        assert page.headers["Content-Type"] == "text/plain; charset=utf-8"
        text = (await whole(page)).decode()
        assert model.provider in text
        assert "https://" in text
        assert "x-outcrop-served-by" in text


async def test_other_pages_are_not_there(closed: Inside) -> None:
    for path in ("acme", "", "anthropic/", "../health", "Anthropic"):
        request = Request("GET", f"/_outcrop/eula/{path}", "", (), b"", "127.0.0.1")
        assert (await closed.app.handle(request)).status == 404


async def test_a_page_is_only_read(closed: Inside) -> None:
    path = "/_outcrop/eula/anthropic"
    head = await closed.app.handle(Request("HEAD", path, "", (), b"", "127.0.0.1"))
    assert (head.status, head.body) == (200, b"")
    post = await closed.app.handle(Request("POST", path, "", (), b"", "127.0.0.1"))
    assert post.status == 404


async def test_a_token_is_good_for_its_account_region_and_model(
    closed: Inside, boss: Client
) -> None:
    token = (await offer_of(boss, JURASSIC))["offerToken"]
    keys = await closed.user(OTHER, "bob", document(allow("*")))
    assert not await is_taken(closed.client(keys), JURASSIC, token)
    assert not await is_taken(Client(boss.app, boss.keys, region="us-west-2"), JURASSIC, token)
    assert not await is_taken(boss, TITAN, token)
    assert await is_taken(boss, JURASSIC, token)


MADE_UP = [
    "",
    "offer",
    "\u00e9",
    "=" * 40,
    "A" * 5000,
    base64.urlsafe_b64encode(b"{}").decode(),
    base64.urlsafe_b64encode(bytes(200)).decode(),
]


async def test_a_made_up_token_is_refused(boss: Client) -> None:
    for token in MADE_UP:
        assert not await is_taken(boss, JURASSIC, token)


async def test_an_altered_token_is_refused(boss: Client) -> None:
    token = (await offer_of(boss, JURASSIC))["offerToken"]
    sealed = bytearray(base64.urlsafe_b64decode(token))
    for at in (0, 1, len(sealed) // 2, len(sealed) - 1):
        sealed[at] ^= 1
        assert not await is_taken(boss, JURASSIC, base64.urlsafe_b64encode(sealed).decode())
        sealed[at] ^= 1
    assert await is_taken(boss, JURASSIC, token)


async def test_a_token_of_an_offer_that_has_changed_is_refused(
    closed: Inside, boss: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = (await offer_of(boss, JURASSIC))["offerToken"]
    model = closed.deployment.catalog.get(JURASSIC, "us-east-1")
    monkeypatch.setitem(cast("dict[str, float]", model.prices), "input", 1.0)
    assert not await is_taken(boss, JURASSIC, token)


async def test_an_agreement_keeps_its_offer(closed: Inside, boss: Client) -> None:
    offer = await offer_of(boss, JURASSIC)
    await agree(boss, JURASSIC)
    (item,) = closed.deployment.state.stores.models.list(ModelAccess)
    assert item.record.offer == offer["offerId"]
    with pytest.raises(ClientError, match="Agreement already exists"):
        await agree(boss, JURASSIC)
