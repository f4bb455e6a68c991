"""Regions of one deployment: each answers under its own host names and keeps its own resources."""

from pathlib import Path
from typing import Any, cast

import botocore.session
import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, running_inside
from running_gateways import ACCOUNT, Gateway

from outcrop.catalog.regions import AWS_REGIONS
from outcrop.config import DOCUMENTED_REGIONS, Binding, Scripted

CLAUDE = "anthropic.claude-3-haiku-20240307-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "granite"}]}]
ACME = """
provider = "Acme"

[[models]]
id = "acme.rock-v1:0"
name = "Rock"
dialect = "openai_chat"
input_modalities = ["TEXT"]
output_modalities = ["TEXT"]
context_tokens = 8192
max_output_tokens = 4096
regions = ["eu-central-1"]
supports = ["converse"]
engine = "script"
"""


def client_of(gateway: Gateway, service: str, region: str, host: str) -> Any:
    """As it is where the service's own host name leads to the gateway."""
    client = gateway.client(service, region)

    def name_host(request: Any, **_: Any) -> None:
        request.headers["Host"] = host

    client.meta.events.register("before-sign", name_host)
    return client


@pytest.mark.parametrize("region", DOCUMENTED_REGIONS)
def test_a_region_answers_under_its_own_host_names(region: str, scripted_gateway: Gateway) -> None:
    """RG-01, RG-05."""
    control = client_of(scripted_gateway, "bedrock", region, f"bedrock.{region}.amazonaws.com")
    models = control.list_foundation_models()["modelSummaries"]
    arns = {model["modelId"]: model["modelArn"] for model in models}
    assert arns[CLAUDE] == f"arn:aws:bedrock:{region}::foundation-model/{CLAUDE}"
    host = f"bedrock-runtime.{region}.amazonaws.com"
    runtime = client_of(scripted_gateway, "bedrock-runtime", region, host)
    for identifier in (CLAUDE, arns[CLAUDE]):
        answer = runtime.converse(modelId=identifier, messages=MESSAGES)
        assert answer["output"]["message"]["content"] == [{"text": "granite"}]


@pytest.mark.parametrize("region", ["us-east-1", "us-west-2"])
def test_agents_are_asked_under_the_documented_host_names(
    region: str, scripted_gateway: Gateway
) -> None:
    """RG-03, RG-04: the host leads to the service, whichever of its operations there are."""
    host = f"bedrock-agent-runtime.{region}.amazonaws.com"
    client = client_of(scripted_gateway, "bedrock-agent-runtime", region, host)
    with pytest.raises(ClientError, match="the operation EndSession of bedrock-agent-runtime"):
        client.end_session(sessionIdentifier="00000000-0000-0000-0000-000000000000")


def test_a_host_of_another_region_than_was_signed_for_is_refused(
    scripted_gateway: Gateway,
) -> None:
    host = "bedrock-runtime.eu-central-1.amazonaws.com"
    client = client_of(scripted_gateway, "bedrock-runtime", "us-east-1", host)
    with pytest.raises(ClientError, match="Credential should be scoped to a valid region"):
        client.converse(modelId=CLAUDE, messages=MESSAGES)


@pytest.mark.parametrize("region", DOCUMENTED_REGIONS[1:])
def test_an_arn_of_another_region_is_refused(region: str, scripted_gateway: Gateway) -> None:
    client = scripted_gateway.client("bedrock-runtime", region)
    for resource in (
        f":foundation-model/{CLAUDE}",
        f"{ACCOUNT}:inference-profile/us.{CLAUDE}",
        f"{ACCOUNT}:application-inference-profile/abcdefghijkl",
        f"{ACCOUNT}:provisioned-model/abcdefghijkl",
    ):
        with pytest.raises(client.exceptions.ValidationException) as caught:
            client.converse(modelId=f"arn:aws:bedrock:us-east-1:{resource}", messages=MESSAGES)
        assert "The provided ARN is invalid for the service region" in str(caught.value)


async def test_a_model_is_listed_and_called_in_its_regions_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RG-06: where a model is can be looked up."""
    file = tmp_path / "acme.toml"
    file.write_text(ACME, encoding="utf-8")
    async with running_inside(tmp_path, monkeypatch, catalog=(file,)) as inside:
        for region in DOCUMENTED_REGIONS:
            client = Client(inside.app, ADMIN, region=region)
            models = await client.ask("bedrock", "ListFoundationModels", byProvider="Acme")
            is_here = region == "eu-central-1"
            assert len(models["modelSummaries"]) == is_here
            asking = client.ask(
                "bedrock-runtime", "Converse", modelId="acme.rock-v1:0", messages=MESSAGES
            )
            if is_here:
                assert (await asking)["stopReason"] == "end_turn"
            else:
                with pytest.raises(ClientError, match="model identifier is invalid"):
                    await asking


async def test_a_region_can_have_engines_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "engines": {"script": Scripted(), "west": Scripted(tokens=3)},
        "bind": (
            Binding(pattern="*", engine="script"),
            Binding(pattern="anthropic.*", engine="west", regions=("us-west-2",)),
        ),
    }
    async with running_inside(tmp_path, monkeypatch, **settings) as inside:
        texts: dict[str, str] = {}
        for region in ("us-east-1", "us-west-2", "eu-central-1"):
            client = Client(inside.app, ADMIN, region=region)
            answer = await client.ask(
                "bedrock-runtime", "Converse", modelId=CLAUDE, messages=MESSAGES
            )
            texts[region] = answer["output"]["message"]["content"][0]["text"]
    assert texts["us-east-1"] == texts["eu-central-1"] == "granite"
    assert texts["us-west-2"] == "granite" * 3


async def test_nobody_makes_up_a_region_that_has_quotas_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {"regions": ("us-east-1", "lab-north-1")}
    async with running_inside(tmp_path, monkeypatch, **settings) as inside:
        for region in ("lab-north-1", "sa-east-1"):
            client = Client(inside.app, ADMIN, region=region)
            assert (await client.ask("bedrock", "ListFoundationModels"))["modelSummaries"]
        for region in ("x1", "us-east-9", "lab-north-2"):
            client = Client(inside.app, ADMIN, region=region)
            with pytest.raises(ClientError, match="scoped to a valid region"):
                await client.ask("bedrock", "ListFoundationModels")
            with pytest.raises(ClientError, match="scoped to a valid region"):
                await client.ask("bedrock-runtime", "Converse", modelId=CLAUDE, messages=MESSAGES)


def test_the_regions_of_aws_are_those_that_its_sdk_knows() -> None:
    session = cast(Any, botocore.session).Session()
    known = {
        region
        for partition in session.get_available_partitions()
        for region in session.get_available_regions("ec2", partition)
    }
    assert known == AWS_REGIONS
