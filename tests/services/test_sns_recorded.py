"""Every error recorded of SNS is given here for the same request: code, status and text.

Left out are those of what Outcrop refuses whole: FIFO topics, text messages, mobile push.
"""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from in_process import ADMIN, Client, running_inside
from running_gateways import ACCOUNT

RECORDED = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"
ROWS: list[dict[str, Any]] = [
    row
    for row in map(json.loads, RECORDED.read_text(encoding="utf-8").splitlines())
    if row["service"] == "sns"
]
ELSEWHERE = re.compile(
    "FIFO topic|FIFO Topic|ContentBasedDeduplication|Platform|Endpoint does not exist|"
    "CustomUserData|Invalid attribute name|DefaultS|/ADM/|must be at most 256 characters|"
    "Value null at 'attributes'|cannot be empty|"
    "must contain only characters 'a'|"
    "input incorrectly formatted|NAA"
)
STAGED = [row for row in ROWS if not ELSEWHERE.search(row["message"])]
SOURCE = re.compile(r'\(String\)"(.*)"; line', re.DOTALL)
ARN = f"arn:aws:sns:us-east-1:{ACCOUNT}:t"
QUEUE = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"

Scene = Callable[[Client], Awaitable[object]]


def asks(operation: str, **params: Any) -> Scene:
    return lambda client: client.ask("sns", operation, **params)


def publishes(**params: Any) -> Scene:
    return asks("Publish", TopicArn=ARN, **{"Message": "m", **params})


def attribute(name: str, **value: Any) -> Scene:
    return publishes(MessageAttributes={name: value})


def subscribes(protocol: str = "sqs", endpoint: str = QUEUE, **attributes: str) -> Scene:
    return asks(
        "Subscribe", TopicArn=ARN, Protocol=protocol, Endpoint=endpoint, Attributes=attributes
    )


def sets(name: str, value: str, **held: str) -> Scene:
    async def scene(client: Client) -> object:
        made = await client.ask(
            "sns", "Subscribe", TopicArn=ARN, Protocol="sqs", Endpoint=QUEUE, Attributes=held
        )
        return await client.ask(
            "sns",
            "SetSubscriptionAttributes",
            SubscriptionArn=made["SubscriptionArn"],
            AttributeName=name,
            AttributeValue=value,
        )

    return scene


def twice(first: Scene, second: Scene) -> Scene:
    async def scene(client: Client) -> object:
        await first(client)
        return await second(client)

    return scene


def batch(*ids: str, **more: Any) -> Scene:
    entries = [{"Id": each, "Message": "m", **more} for each in ids]
    return asks("PublishBatch", TopicArn=ARN, PublishBatchRequestEntries=entries)


def filtered(policy: Any) -> Scene:
    return subscribes(FilterPolicy=json.dumps(policy))


def permits(action: str) -> Scene:
    return asks(
        "AddPermission", TopicArn=ARN, Label="l", AWSAccountId=[ACCOUNT], ActionName=[action]
    )


BROKEN = "{invalidjson}"
BODY = {"FilterPolicyScope": "MessageBody"}
COMPLEX = {f"k{key}": [str(value) for value in range(6)] for key in range(3)}
TAG = {"Key": "a", "Value": "b"}
SCENES: dict[str, Scene] = {
    "Topic does not exist": asks("GetTopicAttributes", TopicArn=f"{ARN}2"),
    "already exists with different tags": twice(
        asks("CreateTopic", Name="n", Tags=[TAG]),
        asks("CreateTopic", Name="n", Tags=[TAG, {"Key": "c", "Value": "d"}]),
    ),
    "TopicArn Reason: An ARN must have at least 6 elements, not 2": asks(
        "Publish", TopicArn="randomstring:1", Message="m"
    ),
    "No endpoint found": asks(
        "Publish", TargetArn=f"arn:aws:sns:us-east-1:{ACCOUNT}:endpoint/APNS/a/b", Message="m"
    ),
    "Empty message": publishes(Message=""),
    "Message too long": publishes(Message="m" * (256 * 1024 + 1)),
    "No default entry": publishes(Message='{"sqs": "m"}', MessageStructure="json"),
    "failed to parse$": publishes(Message='{"sqs": "m"', MessageStructure="json"),
    r"value \[wrongvalue\]": subscribes(RawMessageDelivery="wrongvalue"),
    "AttributeName$": sets("FakeAttribute", "x"),
    r"value \[\]": sets("RawMessageDelivery", ""),
    "RedrivePolicy: failed to parse": sets("RedrivePolicy", BROKEN),
    "FilterPolicy: failed to parse": sets("FilterPolicy", BROKEN),
    "parameter: Token$": asks("ConfirmSubscription", TopicArn=ARN, Token="5" * 288),
    "Invalid token": asks("ConfirmSubscription", TopicArn=ARN, Token="51b2ff3edb475b7d"),
    "parameter: Topic$": asks("ConfirmSubscription", TopicArn="arn:aws:sns:us", Token="5" * 288),
    "have the same Id": batch("a", "a"),
    "SQS endpoint ARN": subscribes(endpoint="http://localhost/000000000000/q"),
    "Value null at 'publishBatchRequestEntries": batch(
        "a", MessageAttributes={"attr1": {"StringValue": "x"}}
    ),
    "type 'Binary'.$": attribute("attr1", DataType="Binary"),
    "must use field 'String'": attribute("attr1", DataType="Number", BinaryValue=b"1"),
    "must use field 'Binary'": attribute("attr1", DataType="Binary", StringValue="1"),
    "less than 256 bytes": attribute("a" * 257, DataType="String", StringValue="1"),
    "starting with character": attribute(".a", DataType="String", StringValue="1"),
    "successive": attribute("a..b", DataType="String", StringValue="1"),
    "FIFO SQS Queues": subscribes(endpoint=f"{QUEUE}.fifo"),
    r"PhoneNumber Reason: \+1a234": asks("Publish", PhoneNumber="+1a234", Message="m"),
    r"endpoint: \+15--551234567": subscribes("sms", "+15--551234567"),
    r"endpoint: /\+15551234567": subscribes("sms", "/+15551234567"),
    "exists with different attributes": twice(
        subscribes(RawMessageDelivery="true"), subscribes(RawMessageDelivery="false")
    ),
    "SubscriptionArn Reason: An ARN must": asks("Unsubscribe", SubscriptionArn=ARN[:-2]),
    "SubscriptionArn Reason: no value": asks("Unsubscribe", SubscriptionArn=""),
    "TopicArn Reason: An ARN must have at least 6 elements, not 5": asks(
        "Subscribe", TopicArn=ARN[:-2], Protocol="sqs", Endpoint=QUEUE
    ),
    "Statement already exists": twice(permits("Publish"), permits("Publish")),
    "out of service scope": permits("InvalidAction"),
    "character: message.id": batch("message.id"),
    "character: msg@123#test": batch("msg@123#test"),
    "too long: aaa": batch("a" * 81),
    "too long: myreally": batch("my" + "really" * 13 + "longid"),
    "one '/' required": filtered({"key": [{"cidr": "bad-filter"}]}),
    "address: bad-filter": filtered({"key": [{"cidr": "bad-filter/64"}]}),
    "must be an integer": filtered({"key": [{"cidr": "bad-filter/bad"}]}),
    "address: xxxx": filtered({"key": [{"cidr": "xxxx:db8:1234:1a00::/64"}]}),
    "Attributes Reason: FilterPolicy: Filter policy is too": filtered(COMPLEX),
    "more than 5 keys": filtered({f"k{key}": ["v"] for key in range(6)}),
    "parameter: Filter policy scope": sets("FilterPolicy", '{"a": {"b": ["c"]}}'),
    "parameter: FilterPolicy: Filter policy is too": sets(
        "FilterPolicy", json.dumps({"a": {"b": COMPLEX}}), **BODY
    ),
}


def _scene(row: dict[str, Any]) -> Scene:
    source = SOURCE.search(row["message"])
    if source is not None:
        # The text says which policy was given.
        if "Attributes Reason" in row["message"]:
            return subscribes(FilterPolicy=source[1])
        return sets("FilterPolicy", source[1], **BODY)
    found = [scene for pattern, scene in SCENES.items() if re.search(pattern, row["message"])]
    assert len(found) == 1, row["message"]
    return found[0]


@pytest.fixture
async def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    async with running_inside(tmp_path, monkeypatch) as inside:
        yield inside.client(ADMIN)


def _name(row: dict[str, Any]) -> str:
    return row["test"].rpartition("::")[2] + row["key"]


async def test_every_recorded_error_is_given_again(client: Client) -> None:
    differences: dict[str, Any] = {}
    for row in STAGED:
        await client.ask("sns", "CreateTopic", Name="t")
        with pytest.raises(ClientError) as caught:
            await _scene(row)(client)
        answer: Any = caught.value.response
        error = answer["Error"]
        given = (error["Code"], error["Message"], answer["ResponseMetadata"]["HTTPStatusCode"])
        # Rows without a status were recorded of bodies alone.
        if given != (row["code"], row["message"], row["status"] or 400):
            differences[_name(row)] = given
        await client.ask("sns", "DeleteTopic", TopicArn=ARN)
    assert differences == {}


def test_most_rows_are_staged() -> None:
    assert len(STAGED) >= 70
