"""What targets are sent of an event. The first templates are recorded from the real service."""

import json
from typing import Any

import pytest
from hypothesis import given, strategies as st

from outcrop.events.inputs import InvalidInput, Received, check_input, render_input

EVENT: dict[str, Any] = {
    "version": "0",
    "id": "e1",
    "detail-type": "customerCreated",
    "source": "com.mycompany.myapp",
    "time": "2024-03-26T15:48:35Z",
    "detail": {
        "command": "display-message",
        "payload": {"acc_id": "0a787ecb-4015", "sf_id": "baz"},
        "items": [{"n": 1}, {"n": 2}],
        "said": 'a "quoted" \\ text',
    },
}
RULE = "arn:aws:events:us-east-1:111122223333:rule/my-bus/my-rule"
RECEIVED = Received(json.dumps(EVENT), EVENT, "2024-03-26T15:48:36Z", RULE)


def render(**target: Any) -> str:
    whole = {"Id": "t", "Arn": "arn:aws:sqs:us-east-1:111122223333:q", **target}
    check_input(whole)
    return render_input(whole, RECEIVED)


def transform(template: str, **paths: str) -> str:
    named = {name.replace("_", "-"): path for name, path in paths.items()}
    return render(InputTransformer={"InputPathsMap": named, "InputTemplate": template})


def test_a_target_gets_the_whole_event_by_itself() -> None:
    assert render() == RECEIVED.text


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("$.detail.payload", '{"acc_id":"0a787ecb-4015","sf_id":"baz"}'),
        ("$.detail.payload.sf_id", '"baz"'),
        ("$.detail.items[1].n", "2"),
        ("$.detail.items[*].n", "[1,2]"),
        ("$.detail-type", '"customerCreated"'),
        ("$", json.dumps(EVENT, separators=(",", ":"))),
        ("$.detail.missing", "null"),
    ],
)
def test_a_path_leads_to_a_part_of_the_event(path: str, expected: str) -> None:
    assert render(InputPath=path) == expected


def test_a_constant_is_sent_to_the_letter() -> None:
    assert render(Input='{"a":  1}') == '{"a":  1}'


def test_a_text_keeps_its_quotation_marks_and_what_is_missing_is_empty() -> None:
    template = '"Event of <detail-type> type, at time <timestamp>, info <command>"'
    paths = {"detail_type": "$.detail-type", "timestamp": "$.time"}
    assert transform(template, **paths, command="$.detail.command") == (
        '"Event of customerCreated type, at time 2024-03-26T15:48:35Z, info display-message"'
    )
    assert transform(template, **paths, command="$.detail.missing").endswith('info "')


def test_variables_in_json_are_json() -> None:
    template = '{"command": <command>, "text": "it said: <said>", "all": <payload>}'
    rendered = transform(
        template, command="$.detail.command", said="$.detail.said", payload="$.detail.payload"
    )
    assert json.loads(rendered) == {
        "command": "display-message",
        "text": 'it said: a "quoted" \\ text',
        "all": EVENT["detail"]["payload"],
    }


def test_plain_text_outside_quotation_marks_stays_plain() -> None:
    assert transform("<command> of <n>", command="$.detail.command", n="$.detail.items[0].n") == (
        "display-message of 1"
    )


def test_the_rule_and_the_event_are_there_without_a_path() -> None:
    template = (
        '{"rule": <aws.events.rule-arn>, "name": "<aws.events.rule-name>", '
        '"at": <aws.events.event.ingestion-time>, "event": <aws.events.event.json>, '
        '"head": <aws.events.event>}'
    )
    rendered = json.loads(transform(template))
    assert rendered["rule"] == RULE
    assert rendered["name"] == "my-rule"
    assert rendered["at"] == "2024-03-26T15:48:36Z"
    assert rendered["event"] == EVENT
    assert rendered["head"] == {name: EVENT[name] for name in EVENT if name != "detail"}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            {"InputTransformer": {"InputTemplate": '{"a": <notdefinedkey>}'}},
            # Recorded.
            "InputTemplate for target t contains invalid placeholder notdefinedkey.",
        ),
        ({"Input": "{}", "InputPath": "$"}, "Only one of Input"),
        ({"Input": "nothing"}, "JSON syntax error in input for target t"),
        ({"InputPath": "detail"}, "Invalid InputPath for target t."),
        ({"InputPath": "$['detail']"}, "Invalid InputPath for target t."),
        ({"InputPath": "$.detail["}, "Invalid InputPath for target t."),
        (
            {"InputTransformer": {"InputPathsMap": {"a": "$..b"}, "InputTemplate": "<a>"}},
            "Invalid InputPathsMap for target t",
        ),
        (
            {"InputTransformer": {"InputTemplate": '{"a": '}},
            "Invalid InputTemplate for target t",
        ),
    ],
)
def test_what_could_never_be_rendered_is_refused(target: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        render(**target)
    assert str(caught.value).startswith(said)


@given(st.recursive(st.one_of(st.text(), st.integers(), st.none()), st.lists, max_leaves=5))
def test_no_value_breaks_out_of_a_template(value: Any) -> None:
    event = {"detail": {"value": value}}
    received = Received(json.dumps(event), event, "", RULE)
    paths = {"value": "$.detail.value"}
    transformer = {"InputPathsMap": paths, "InputTemplate": '{"a": <value>, "b": "x <value>"}'}
    rendered = json.loads(render_input({"InputTransformer": transformer}, received))
    assert set(rendered) == {"a", "b"}
    assert rendered["a"] == value
