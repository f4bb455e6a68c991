"""The compiled models: their facts, our patches, and what must not be in them."""

import gc
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.model import ServiceModel
from hypothesis import given, strategies as st

from outcrop.wire import json, timestamps
from outcrop.wire.spec import Operation, Service, UnknownService, load_service, patches

WIRE = Path(__file__).resolve().parents[2] / "src/outcrop/wire"


def test_wire_code_knows_no_service_by_name() -> None:
    for path in WIRE.glob("*.py"):
        code = re.sub(r'"""[\s\S]*?"""|#.*', "", path.read_text())
        assert "bedrock" not in code.lower(), path.name


def test_an_operation_carries_the_facts_of_the_model() -> None:
    operation = load_service("bedrock").operations["CreateGuardrail"]
    assert (operation.method, operation.uri, operation.success_status) == (
        "POST",
        "/guardrails",
        202,
    )
    assert operation.handler_name == "create_guardrail"
    assert operation.idempotency_token == "clientRequestToken"
    assert operation.accepts_bearer
    assert operation.errors["TooManyTagsException"].error_status == 400
    assert operation.service.namespace == "com.amazon.bedrock"


def test_agents_take_no_bearer_and_streams_are_known() -> None:
    service = load_service("bedrock-agent-runtime")
    assert not service.operations["InvokeAgent"].accepts_bearer
    streams = sorted(name for name, one in service.operations.items() if one.event_stream)
    assert streams == [
        "AgenticRetrieveStream",
        "InvokeAgent",
        "InvokeFlow",
        "InvokeInlineAgent",
        "OptimizePrompt",
        "RetrieveAndGenerateStream",
    ]
    bidirectional = load_service("bedrock-runtime").operations["InvokeModelWithBidirectionalStream"]
    assert bidirectional.input_event_stream is not None


def test_every_operation_compiles_and_its_names_are_botocore_s(
    services: list[Service], models: dict[str, ServiceModel]
) -> None:
    for service in services:
        for name in models[service.name].operation_names:
            model = cast(Any, models[service.name].operation_model(name))
            operation = service.operations[name]
            for shape, theirs in (
                (operation.input, model.input_shape),
                (operation.output, model.output_shape),
            ):
                ours = set(shape.members) if shape else set[str]()
                assert ours == set(theirs.members if theirs else ()), name
            assert set(operation.errors) == {one.name for one in model.error_shapes}


def test_no_documentation_is_kept() -> None:
    service = load_service("bedrock-runtime")
    texts = [value for value in strings_below(service) if "<p>" in value]
    assert texts == []


def strings_below(root: object) -> list[str]:
    seen: set[int] = set()
    found: list[str] = []
    queue: list[object] = [root]
    while queue:
        one = queue.pop()
        if id(one) in seen or isinstance(one, type) or callable(one):
            continue
        seen.add(id(one))
        if isinstance(one, str):
            found.append(one)
        else:
            queue += gc.get_referents(one)
    return found


def test_an_unknown_service_says_so() -> None:
    with pytest.raises(UnknownService):
        load_service("no-such-service")


@pytest.mark.parametrize("name", ["bedrock", "bedrock-runtime", "bedrock-agent"])
def test_every_patch_gives_its_evidence(name: str) -> None:
    listed = patches(name)
    assert listed
    assert all(len(patch["evidence"]) > 40 and patch["merge"] for patch in listed)


def test_the_console_s_entitlement_operation_is_patched_in(operations: list[Operation]) -> None:
    (operation,) = [one for one in operations if one.name == "PutFoundationModelEntitlement"]
    assert operation.service.name == "bedrock"
    assert (operation.method, operation.uri) == ("POST", "/foundation-model-entitlement")
    assert operation.success_status == 201


def test_pagination_facts_come_from_botocore() -> None:
    facts = load_service("bedrock-agent-runtime").operations["GetAgentMemory"].pagination
    assert facts is not None
    assert (facts.limit_key, facts.result_key) == ("maxItems", "memoryContents")


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moments(first: datetime, last: datetime) -> st.SearchStrategy[datetime]:
    step = timedelta(microseconds=1)
    return st.integers((first - EPOCH) // step, (last - EPOCH) // step).map(
        lambda count: EPOCH + timedelta(microseconds=count)
    )


MOMENTS = moments(datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC))


@given(MOMENTS)
def test_iso_timestamps_survive_the_way_there_and_back(moment: datetime) -> None:
    assert timestamps.parse(timestamps.render(moment, "iso8601"), "iso8601") == moment


@given(moments(EPOCH, datetime(2100, 1, 1, tzinfo=UTC)))
def test_other_spellings_survive_too(moment: datetime) -> None:
    seconds = moment.replace(microsecond=0)
    assert timestamps.parse(timestamps.render(seconds, "unixTimestamp"), "unixTimestamp") == seconds
    assert timestamps.parse(format_datetime(seconds, usegmt=True), "rfc822") == seconds


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-07-13T14:00:42.680622107Z", datetime(2026, 7, 13, 14, 0, 42, 680622, UTC)),
        ("2026-07-13t14:00:42z", datetime(2026, 7, 13, 14, 0, 42, 0, UTC)),
        ("2026-07-13T16:00:42.5+02:00", datetime(2026, 7, 13, 14, 0, 42, 500_000, UTC)),
        ("2026-07-13T12:30:42-0130", datetime(2026, 7, 13, 14, 0, 42, 0, UTC)),
    ],
)
def test_iso_timestamps_of_several_forms_are_read(text: str, moment: datetime) -> None:
    assert timestamps.parse(text, "iso8601") == moment
    assert timestamps.parse(text, "iso8601").utcoffset() == timedelta(0)


@pytest.mark.parametrize("spelling", ["iso8601", "rfc822", "unixTimestamp"])
@given(value=st.text(max_size=30) | st.integers() | st.floats() | st.none() | st.booleans())
def test_other_values_are_malformed_timestamps(spelling: str, value: Any) -> None:
    try:
        moment = timestamps.parse(value, spelling)
    except timestamps.MalformedTimestamp:
        return
    assert moment.utcoffset() == timedelta(0)


def test_a_moment_without_a_zone_is_not_written() -> None:
    with pytest.raises(timestamps.MalformedTimestamp):
        timestamps.render(EPOCH.replace(tzinfo=None), "iso8601")


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"{}x", b'"\xff"', b'"\\ud800"', b"NaN", b"1e999", b"9" * 5000, b"[" * 200_000],
    ids=lambda data: repr(data[:10]),
)
def test_json_that_is_none_raises_one_error(data: bytes) -> None:
    with pytest.raises(json.MalformedJson):
        json.decode(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_malformed(data: bytes) -> None:
    try:
        value = json.decode(data)
    except json.MalformedJson:
        return
    assert json.decode(json.encode(value)) == value


def test_of_repeated_keys_the_last_counts() -> None:
    assert json.decode(b'{"a":1,"a":2}') == {"a": 2}
