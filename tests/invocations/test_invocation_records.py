"""Log records against AWS's own, and what becomes of bodies of every kind."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st
from logged_calls import ACCOUNT, ARN, BEGAN_US, REGION, call, read, without

from outcrop.invocations.records import LARGE_BYTES, Batch, Rendered, is_logged, render
from outcrop.journal.records import CallRecord
from outcrop.stores.model_records import LogBucket, LoggingConfiguration, LogGroup

SAMPLES = Path(__file__).resolve().parents[2] / "../shared/invocation-log-samples.jsonl"
BATCH = Batch(ACCOUNT, REGION, BEGAN_US // 1000)
HOUR = f"AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/{REGION}/2023/11/14/22/"
BUCKET = LogBucket(bucket="logs", prefix="all/")
TO_S3 = LoggingConfiguration(s3=BUCKET)
ROLE = f"arn:aws:iam::{ACCOUNT}:role/logs"
TO_GROUP = LoggingConfiguration(group=LogGroup(name="g", role_arn=ROLE))
TO_BOTH = LoggingConfiguration(
    s3=BUCKET, group=LogGroup(name="g", role_arn=ROLE, large=LogBucket(bucket="large"))
)


def sample(number: int) -> dict[str, Any]:
    return json.loads(SAMPLES.read_text(encoding="utf-8").splitlines()[number])


def of_sample(told: dict[str, Any], output: list[dict[str, Any] | str]) -> CallRecord:
    """The call that AWS logged so."""
    at = datetime.fromisoformat(told["timestamp"])
    given, answered = told["input"], told["output"]
    return call(
        account=told["accountId"],
        region=told["region"],
        principal=told["identity"]["arn"],
        request_id=told["requestId"],
        operation=told["operation"],
        began_us=round(at.timestamp()) * 1_000_000 + 999_999,
        content={
            "input": json.dumps(given["inputBodyJson"], indent=2).encode(),
            "output": json.dumps(output).encode(),
        },
        invocation={
            "model_id": told["modelId"],
            "region": told["region"],
            "input_tokens": given["inputTokenCount"],
            "output_tokens": answered["outputTokenCount"],
        },
    )


def rendered(record: CallRecord, configuration: LoggingConfiguration = TO_S3) -> dict[str, Any]:
    return read(render(record, configuration, BATCH).line)


def large(found: Rendered) -> dict[str, tuple[str, bytes]]:
    return {name.name: (name.content_type, body) for name, body in found.large}


def test_a_stream_of_chunks_is_logged_as_aws_logged_one() -> None:
    told = sample(1)
    found = render(of_sample(told, told["output"]["outputBodyJson"]), TO_S3, BATCH)
    assert read(found.line) == told
    # Field by field, in AWS's order.
    assert found.line.decode() == json.dumps(told, separators=(",", ":"))
    assert found.event == found.line
    assert found.large == ()


def test_a_conversation_that_was_streamed_is_logged_as_its_whole_answer() -> None:
    told = sample(0)
    answer = told["output"]["outputBodyJson"]
    text: str = answer["output"]["message"]["content"][0]["text"]
    events: list[dict[str, Any] | str] = [
        {"messageStart": {"role": "assistant"}},
        *(
            {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": piece}}}
            for piece in (text[:7], text[7:20], text[20:])
        ),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": answer["stopReason"]}},
        {"metadata": {"usage": answer["usage"], "metrics": answer["metrics"]}},
    ]
    found = rendered(of_sample(told, events))
    assert found == told
    assert json.dumps(found["output"]) == json.dumps(told["output"])
    assert json.dumps(found["input"]) == json.dumps(told["input"])


def folded(*events: dict[str, Any], **changes: Any) -> Any:
    content = {"output": json.dumps(events).encode()}
    record = call(operation="ConverseStream", content=content, **changes)
    return rendered(record)["output"].get("outputBodyJson")


def delta(index: int, **delta: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"contentBlockIndex": index, "delta": delta}}


START = {"messageStart": {"role": "assistant"}}


def test_blocks_of_every_kind_are_put_together() -> None:
    tool = {"toolUse": {"toolUseId": "t1", "name": "weather"}}
    citation = {"sourceContent": [{"text": "s"}], "title": "T"}
    body = folded(
        START,
        delta(0, reasoningContent={"text": "Let me "}),
        delta(0, reasoningContent={"text": "think."}),
        delta(0, reasoningContent={"signature": "c2ln"}),
        {"contentBlockStop": {"contentBlockIndex": 0}},
        delta(1, reasoningContent={"redactedContent": "AAE="}),
        delta(1, reasoningContent={"redactedContent": "Ag=="}),
        delta(2, text="I "),
        delta(2, text="look."),
        {"contentBlockStart": {"contentBlockIndex": 3, "start": tool}},
        delta(3, toolUse={"input": '{"city": "O'}),
        delta(3, toolUse={"input": 'slo"}'}),
        {"contentBlockStart": {"contentBlockIndex": 4, "start": tool}},
        delta(5, text="cited"),
        delta(5, citation=citation),
        {"messageStop": {"stopReason": "tool_use", "additionalModelResponseFields": {"a": 1}}},
        {"metadata": {"usage": {"inputTokens": 1}, "metrics": {"latencyMs": 2}, "trace": {}}},
    )
    assert body["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Let me think.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": "AAEC"}},
        {"text": "I look."},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {"city": "Oslo"}}},
        {"toolUse": {"toolUseId": "t1", "name": "weather", "input": {}}},
        {"citationsContent": {"content": [{"text": "cited"}], "citations": [citation]}},
    ]
    del body["output"]
    assert body == {
        "stopReason": "tool_use",
        "additionalModelResponseFields": {"a": 1},
        "metrics": {"latencyMs": 2},
        "usage": {"inputTokens": 1},
        "trace": {},
    }


def test_a_stream_that_broke_off_is_logged_as_far_as_it_got() -> None:
    tool = {"toolUse": {"toolUseId": "t1", "name": "weather"}}
    record = call(
        operation="ConverseStream",
        error_code="ModelStreamErrorException",
        content={
            "output": json.dumps(
                [
                    START,
                    delta(0, text="Let"),
                    {"contentBlockStart": {"contentBlockIndex": 1, "start": tool}},
                    delta(1, toolUse={"input": '{"ci'}),
                    {"modelStreamErrorException": {"message": "gone"}},
                ]
            ).encode()
        },
    )
    found = rendered(record)
    broken = {"toolUse": {"toolUseId": "t1", "name": "weather", "input": '{"ci'}}
    message = {"role": "assistant", "content": [{"text": "Let"}, broken]}
    assert found["output"]["outputBodyJson"] == {"output": {"message": message}}
    assert found["errorCode"] == "ModelStreamErrorException"


def test_a_stream_without_an_event_has_no_body() -> None:
    assert folded() is None
    assert folded(status=499) is None


def test_what_is_no_stream_of_events_is_kept_beside_the_record_or_as_it_is() -> None:
    for output in (b'{"not": "events"}', b'[{"messageStart": {}}]', b"[1]"):
        found = rendered(call(operation="ConverseStream", content={"output": output}))
        assert found["output"]["outputBodyJson"] == json.loads(output)


def test_a_failed_call_has_its_code_and_no_output() -> None:
    found = rendered(
        call(status=429, error_code="ThrottlingException", content={"output": b'{"message":"no"}'})
    )
    assert found["errorCode"] == "ThrottlingException"
    assert "output" not in found
    assert found["input"]["inputBodyJson"] == {"prompt": "hi"}


def test_metadata_region_and_cache_are_told_where_there_is_something_to_tell() -> None:
    record = call(
        content={"metadata": {"team": "a"}},
        invocation={"region": "us-west-2", "cache_read_tokens": 7, "cache_write_tokens": 9},
    )
    found = rendered(record)
    assert list(found)[-4:] == ["input", "output", "requestMetadata", "inferenceRegion"]
    assert found["requestMetadata"] == {"team": "a"}
    assert found["inferenceRegion"] == "us-west-2"
    assert found["input"]["cacheReadInputTokenCount"] == 7
    assert found["input"]["cacheWriteInputTokenCount"] == 9
    plain = rendered(call())
    assert list(plain) == [
        *("schemaType", "schemaVersion", "timestamp", "accountId", "identity", "region"),
        *("requestId", "operation", "modelId", "input", "output"),
    ]
    assert plain["timestamp"] == "2023-11-14T22:13:20Z"
    assert plain["identity"] == {"arn": ARN}


@pytest.mark.parametrize("modality", ["text", "image", "embedding"])
@pytest.mark.parametrize("is_on", [True, False])
def test_each_kind_of_data_has_its_switch(modality: str, is_on: bool) -> None:
    others = {"text": not is_on, "image": not is_on, "embedding": not is_on}
    configuration = msgspec.structs.replace(TO_S3, **{**others, modality: is_on})
    found = rendered(call(invocation={"modality": modality}), configuration)
    assert ("inputBodyJson" in found["input"]) is is_on
    assert any(name.startswith("outputBody") for name in found["output"]) is is_on
    assert found["input"]["inputTokenCount"] == 3
    assert found["output"]["outputTokenCount"] == 5
    if not is_on:
        assert render(call(invocation={"modality": modality}), configuration, BATCH).large == ()


def padded(size: int) -> bytes:
    """Of JSON that is ``size`` bytes long."""
    return json.dumps({"p": "x" * (size - len('{"p":""}'))}, separators=(",", ":")).encode()


def test_bodies_over_100_kb_go_beside_the_record() -> None:
    body = padded(LARGE_BYTES)
    assert len(body) == 102_400
    assert rendered(call(content={"input": body}))["input"]["inputBodyJson"] == json.loads(body)
    # Whitespace between tokens is none of the body.
    spaced = b" " * 1000 + body + b"\n" * 1000
    assert rendered(call(content={"input": spaced}))["input"]["inputBodyJson"] == json.loads(body)
    longer = padded(LARGE_BYTES + 1)
    record = call(content={"input": longer, "output": longer})
    found = render(record, TO_S3, BATCH)
    log, name = read(found.line), record.request_id
    path = f"s3://logs/all/{HOUR}data/{name}"
    assert log["input"] == {
        "inputContentType": "application/json",
        "inputBodyS3Path": f"{path}_input.json.gz",
        "inputTokenCount": 3,
    }
    assert log["output"]["outputBodyS3Path"] == f"{path}_output.json.gz"
    assert "outputBodyJson" not in log["output"]
    assert large(found) == {
        f"{name}_input.json.gz": ("application/json", longer),
        f"{name}_output.json.gz": ("application/json", longer),
    }


def test_each_destination_points_to_its_own_bucket() -> None:
    record = call(content={"input": padded(LARGE_BYTES + 1)})
    found = render(record, TO_BOTH, BATCH)
    line, event = read(found.line), read(found.event)
    assert line["input"].pop("inputBodyS3Path").startswith(f"s3://logs/all/{HOUR}data/")
    assert event["input"].pop("inputBodyS3Path").startswith(f"s3://large/{HOUR}data/")
    assert line == event


def test_a_log_group_without_a_bucket_beside_it_does_without_what_is_large() -> None:
    found = render(call(content={"input": padded(LARGE_BYTES + 1)}), TO_GROUP, BATCH)
    assert read(found.event)["input"] == {
        "inputContentType": "application/json",
        "inputTokenCount": 3,
    }
    assert read(found.event)["output"]["outputBodyJson"] == {"completion": "ho"}


def test_images_go_beside_the_record_however_small() -> None:
    record = call(
        content={"output": b'{"images": ["aGk="]}'}, invocation={"modality": "image", "images": 1}
    )
    found = render(record, TO_S3, BATCH)
    assert list(large(found)) == [f"{record.request_id}_output.json.gz"]
    assert read(found.line)["input"]["inputBodyJson"] == {"prompt": "hi"}


@pytest.mark.parametrize(
    "body",
    [b"\x89PNG\r\n", b"{", b'{"a": "\xff"}', b"[" * 100_000 + b"]" * 100_000, b"NaN", b"\x00"],
    ids=["image", "cut off", "not UTF-8", "deep", "no number", "nothing"],
)
def test_what_is_no_json_goes_beside_the_record_as_it_is(body: bytes) -> None:
    record = call(content={"input": body, "input_type": "image/png"})
    found = render(record, TO_S3, BATCH)
    log = read(found.line)
    name = f"{record.request_id}_input.gz"
    assert log["input"]["inputContentType"] == "image/png"
    assert log["input"]["inputBodyS3Path"] == f"s3://logs/all/{HOUR}data/{name}"
    assert large(found) == {name: ("image/png", body)}


def test_bodies_are_spliced_in_without_being_read_as_numbers() -> None:
    body = b'{"a": 12345678901234567890123456789.10, "a": 1e999,\r\n "b": "\\u00e9"}'
    line = render(call(content={"input": body}), TO_S3, BATCH).line
    assert b'{"a":12345678901234567890123456789.10,"a":1e999,"b":"\\u00e9"}' in line


@pytest.mark.parametrize("sent", ["", "application/octet-stream"])
def test_a_body_that_nobody_named_a_type_of_is_json(sent: str) -> None:
    found = rendered(call(content={"input_type": sent}))
    assert found["input"]["inputContentType"] == "application/json"
    assert found["input"]["inputBodyJson"] == {"prompt": "hi"}


def test_only_calls_of_models_in_accounts_that_log_are_logged() -> None:
    assert is_logged(call())
    assert not is_logged(without(call(), "content"))
    assert not is_logged(without(call(), "invocation"))


@given(body=st.binary(max_size=400), kind=st.sampled_from(["InvokeModel", "ConverseStream"]))
def test_no_body_breaks_a_line(body: bytes, kind: str) -> None:
    record = call(operation=kind, content={"input": body, "output": body})
    found = render(record, TO_BOTH, BATCH)
    for line in (found.line, found.event):
        assert b"\n" not in line
        assert read(line)["requestId"] == record.request_id


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(body=_JSON, indent=st.none() | st.integers(0, 3))
def test_every_json_body_is_logged_whole(body: Any, indent: int | None) -> None:
    record = call(content={"input": json.dumps(body, indent=indent).encode()})
    line = render(record, TO_S3, BATCH).line
    assert json.loads(line)["input"]["inputBodyJson"] == body


_EVENTS = st.lists(
    st.dictionaries(
        st.sampled_from(
            ["messageStart", "contentBlockStart", "contentBlockDelta", "messageStop", "metadata"]
        ),
        _JSON,
        max_size=2,
    ),
    max_size=6,
)


@given(events=_EVENTS)
def test_events_of_any_shape_are_folded_or_kept(events: list[dict[str, Any]]) -> None:
    record = call(operation="ConverseStream", content={"output": json.dumps(events).encode()})
    assert read(render(record, TO_S3, BATCH).line)["requestId"] == record.request_id
