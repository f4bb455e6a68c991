"""The catalog against the recorded answers of the real service. Exceptions stand here, with why."""

import base64
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest

from outcrop.catalog.catalog import NoSuchModel
from outcrop.catalog.load import load_catalog
from outcrop.catalog.model import Model
from outcrop.config import Config

RECORDINGS = Path(__file__).resolve().parents[2] / "../shared/real-responses.jsonl"
CATALOG = load_catalog(Config())

# Listed by AWS in December 2025 and not here, by what nothing of ours speaks.
NOT_SERVED = {
    "speech, video and their embeddings": re.compile(
        r"amazon\.nova-(2-)?(sonic|reel).*|amazon\.nova-2-multimodal-embeddings.*|twelvelabs\..*"
    ),
    "reranking": re.compile(r"cohere\.rerank-.*"),
    "single-purpose image services": re.compile(
        r"stability\.stable-(image-|creative-|conservative-|fast-|outpaint|style-).*"
    ),
}
# Profile-only in the list of December 2025, yet an earlier recording calls them, or their
# contemporaries of the same kind, by their own ID with success.
CALLED_BY_THEIR_OWN_ID = {
    "anthropic.claude-3-5-haiku-20241022-v1:0",
    "meta.llama3-1-8b-instruct-v1:0",
    "meta.llama3-1-70b-instruct-v1:0",
}
# Recordings whose request is not JSON: brackets and quotes were lost on the way.
DAMAGED_REQUESTS = {"7acf2fa0f094468c", "5d8193f8f2fea1e2"}
# Deployment-specific profiles and misspelt or made-up IDs; the real service refused the latter.
NOT_BASE_MODELS = re.compile(
    r".*application-inference-profile/.*|.*(does-not-exist|invalid-).*|.*:O"
)


def is_served(model_id: str) -> bool:
    return not any(pattern.fullmatch(model_id) for pattern in NOT_SERVED.values())


@cache
def exchanges() -> tuple[dict[str, Any], ...]:
    lines = RECORDINGS.read_bytes().splitlines()
    return tuple(msgspec.json.decode(line, type=dict[str, Any]) for line in lines)


def identifier_of(exchange: dict[str, Any]) -> str | None:
    path = unquote(exchange["path"])
    return path.removeprefix("/model/").rsplit("/", 1)[0] if path.startswith("/model/") else None


def region_of(exchange: dict[str, Any]) -> str:
    """Hosts are masked in some recordings; those are of us-east-1 clients."""
    found = re.fullmatch(r"bedrock-runtime\.([a-z]+-[a-z]+-\d)\.amazonaws\.com", exchange["host"])
    return found[1] if found else "us-east-1"


def called() -> Iterator[tuple[dict[str, Any], Model]]:
    for exchange in exchanges():
        identifier = identifier_of(exchange)
        if identifier is None or NOT_BASE_MODELS.fullmatch(identifier) or not is_served(identifier):
            continue
        yield exchange, CATALOG.get(identifier, region_of(exchange))


def listed() -> list[dict[str, Any]]:
    answers = [each for each in exchanges() if each["op"] == "ListFoundationModels"]
    assert len(answers) == 1
    body = answers[0]["response_body"]
    content = msgspec.json.decode(body) if isinstance(body, str) else body
    return content["modelSummaries"]


def bodies(exchange: dict[str, Any]) -> Iterator[bytes]:
    """The JSON of an InvokeModel answer: its body, or the chunks of its stream."""
    if stream := exchange.get("response_body_b64"):
        for chunk in re.findall(rb'"bytes":"([A-Za-z0-9+/=]+)"', base64.b64decode(stream)):
            yield base64.b64decode(chunk)
    elif body := exchange.get("response_body"):
        yield body.encode() if isinstance(body, str) else msgspec.json.encode(body)


def test_every_model_that_was_called_resolves_in_the_region_it_was_called_in() -> None:
    calls = list(called())
    assert len(calls) > 400
    assert len({model.id for _, model in calls}) > 45


def test_what_the_real_service_does_not_know_is_unknown_here() -> None:
    unknown = {
        identifier
        for exchange in exchanges()
        if (identifier := identifier_of(exchange))
        and "identifier is invalid" in str(exchange.get("response_body"))
    }
    assert unknown
    for identifier in unknown:
        with pytest.raises(NoSuchModel):
            CATALOG.get(identifier, "us-east-1")


def test_every_listed_model_is_here_unless_nothing_of_ours_speaks_for_it() -> None:
    here = {model.id for model in CATALOG.all()}
    for entry in listed():
        assert (entry["modelId"] in here) == is_served(entry["modelId"]), entry["modelId"]


def test_listed_facts_are_ours() -> None:
    shared = [(entry, CATALOG.find(entry["modelId"], "us-east-1")) for entry in listed()]
    compared = [(entry, model) for entry, model in shared if model is not None]
    assert len(compared) > 95
    for entry, model in compared:
        inference_types = list(model.inference_types)
        if model.id in CALLED_BY_THEIR_OWN_ID:
            inference_types.remove("ON_DEMAND")
        assert entry == entry | {
            "modelId": model.id,
            "modelName": model.name,
            "providerName": model.provider,
            "inputModalities": list(model.input_modalities),
            "outputModalities": list(model.output_modalities),
            "customizationsSupported": list(model.customizations),
            "inferenceTypesSupported": inference_types,
            "modelLifecycle": {"status": model.lifecycle},
        }
        # AWS leaves the flag out for four models without text.
        assert bool(entry["responseStreamingSupported"]) == bool(model.streaming), model.id


def test_output_limits_are_those_listed() -> None:
    limits = {
        entry["modelId"]: entry["converse"]["maxTokensMaximum"]
        for entry in listed()
        if is_served(entry["modelId"])
        and entry["converse"]
        and entry["converse"]["maxTokensMaximum"]
    }
    assert len(limits) > 30
    for model_id, limit in limits.items():
        assert CATALOG.get(model_id, "us-east-1").max_output_tokens == limit, model_id


def test_a_model_that_answered_by_its_own_id_may_be_called_so() -> None:
    for exchange, model in called():
        # CountTokens takes the ID of a model that is otherwise called by profile only.
        if exchange["status"] != 200 or exchange["op"] == "CountTokens":
            continue
        if identifier_of(exchange) == model.id:
            assert "ON_DEMAND" in model.inference_types, model.id


def test_bodies_name_the_model_as_ours_do() -> None:
    seen: dict[str, set[str]] = {}
    for exchange, model in called():
        for body in bodies(exchange):
            for name in re.findall(rb'"model":\s*"([^"]+)"', body):
                seen.setdefault(model.id, set()).add(name.decode())
    assert len(seen) > 10
    # Early in 2024 the name told the size of the context, as those of the variants do.
    seen["anthropic.claude-3-sonnet-20240229-v1:0"].discard("claude-3-sonnet-28k-20240229")
    assert seen == {
        model_id: {CATALOG.get(model_id, "us-east-1").provider_model} for model_id in seen
    }


def asked_of_converse(body: dict[str, Any]) -> set[str]:
    """The capability words that a Converse request needs."""
    blocks = [block for message in body["messages"] for block in message["content"]]
    words = {"image": "images", "document": "documents", "video": "video"}
    needed = {words[kind] for block in blocks for kind in block if kind in words}
    tools: dict[str, Any] = body.get("toolConfig") or {}
    choice = next(iter(tools.get("toolChoice", ["auto"])))
    if body.get("system"):
        needed.add("system")
    if tools:
        needed.add("tools")
    if choice != "auto":
        needed.add("tool_choice")
    return {"converse", *needed}


def test_what_converse_answered_the_model_supports() -> None:
    checked = 0
    for exchange, model in called():
        if exchange["op"].startswith("Converse") and exchange["status"] == 200:
            if exchange["id"] in DAMAGED_REQUESTS:
                continue
            body = exchange["request_body"]
            body = msgspec.json.decode(body) if isinstance(body, str) else body
            missing = asked_of_converse(body) - model.supports
            assert not missing, (model.id, exchange["id"])
            checked += 1
    assert checked > 250


def test_models_that_counted_tokens_say_so() -> None:
    counted = {
        model.id: "count_tokens" in model.supports
        for exchange, model in called()
        if exchange["op"] == "CountTokens" and exchange["status"] == 200
    }
    assert counted
    assert all(counted.values())
