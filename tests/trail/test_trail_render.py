"""Records of CloudTrail: the documents' example, who called in every form, what is never told."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings, strategies as st

from outcrop.errors import AuthorizationDenied, AWSError, ServiceError, ThrottlingException
from outcrop.identity import Caller, Principal, Session
from outcrop.server.deployment import SERVICES
from outcrop.trail.bus_events import event_of
from outcrop.trail.kinds import is_data_event
from outcrop.trail.render import Asked, render_event
from outcrop.wire.http import Request
from outcrop.wire.shapes import Shape
from outcrop.wire.spec import Operation, load_service

EXAMPLE = Path(__file__).resolve().parents[2] / "../shared/seed-examples/RUN-198.json"
NOW = datetime(2023, 10, 11, 21, 58, 59, 123, tzinfo=UTC)
ACCOUNT = "111122223333"
USER = Principal(
    ACCOUNT, "userxyz", f"arn:aws:iam::{ACCOUNT}:user/userxyz", "user", "AROAICFHPEXAMPLE"
)
ROLE = Principal(
    ACCOUNT, "deploy", f"arn:aws:iam::{ACCOUNT}:role/deploy", "role", "AROA1", "as its arn"
)
ROOT = Principal(ACCOUNT, "root", f"arn:aws:iam::{ACCOUNT}:root", "root")
BY_USER = Caller(USER, "AKIAIOSFODNN7EXAMPLE", "us-west-2", "header")
REQUEST_ID = "a1b2c3d4-5678-90ab-cdef-EXAMPLE22222"


def operation(service: str, name: str) -> Operation:
    return load_service(service).operations[name]


INVOKE = operation("bedrock-runtime", "InvokeModel")


def request(**changes: Any) -> Request:
    host = "bedrock-runtime.us-west-2.amazonaws.com"
    headers = (("host", host), ("user-agent", "Boto3/1.28.62"))
    made = Request("POST", "/", "", headers, b"", host, scheme="https", client="192.0.2.0")
    return replace(made, **changes)


def record(
    of: Operation = INVOKE,
    params: Mapping[str, Any] | None = None,
    *,
    caller: Caller = BY_USER,
    result: Mapping[str, Any] | None = None,
    error: AWSError | None = None,
    sent: Request | None = None,
) -> dict[str, Any]:
    asked = Asked(of, caller, "us-west-2", sent or request(), REQUEST_ID, NOW)
    return json.loads(render_event(asked, params, result, error))


def session(issuer: Principal, **fields: Any) -> Session:
    return Session(issuer=issuer, issued_at=NOW, expires_at=NOW, **fields)


def test_an_invoke_model_is_the_documents_example():
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))
    params = {"modelId": "stability.stable-diffusion-xl-v0", "body": b"{}", "accept": "*/*"}
    made = record(params=params, result={"body": b"image", "contentType": "image/png"})
    assert list(made) == list(example)
    assert made["tlsDetails"] == {
        "clientProvidedHostHeader": example["tlsDetails"]["clientProvidedHostHeader"]
    }
    varying = {"eventID", "userAgent", "tlsDetails"}
    assert {k: v for k, v in made.items() if k not in varying} == {
        k: v for k, v in example.items() if k not in varying
    }


SESSION_ATTRIBUTES = {"creationDate": "2023-10-11T21:58:59Z", "mfaAuthenticated": "false"}
ISSUED_BY_ROLE = {
    "type": "Role",
    "principalId": "AROA1",
    "arn": ROLE.arn,
    "accountId": ACCOUNT,
    "userName": "deploy",
}
IN_ROLE = Principal(
    ACCOUNT, "ci", f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/ci", "role", "AROA1:ci", ROLE.arn
)
FEDERATED = Principal(
    ACCOUNT, "bob", f"arn:aws:sts::{ACCOUNT}:federated-user/bob", "federated", f"{ACCOUNT}:bob"
)
BASE = {"accountId": ACCOUNT, "accessKeyId": "ASIA1"}
OF_USER = {"type": "IAMUser", "principalId": USER.id, "arn": USER.arn, "accountId": ACCOUNT}

IDENTITIES = {
    "root": (
        Caller(ROOT, "AKIA1", None, "header"),
        {
            "type": "Root",
            "principalId": ACCOUNT,
            "arn": ROOT.arn,
            "accountId": ACCOUNT,
            "accessKeyId": "AKIA1",
        },
    ),
    "session token of a user": (
        Caller(USER, "ASIA1", None, "header", session=session(USER, has_mfa=True)),
        {
            **OF_USER,
            "accessKeyId": "ASIA1",
            "userName": "userxyz",
            "sessionContext": {"attributes": SESSION_ATTRIBUTES | {"mfaAuthenticated": "true"}},
        },
    ),
    "assumed role": (
        Caller(IN_ROLE, "ASIA1", None, "header", session=session(ROLE, source_identity="ann")),
        {
            "type": "AssumedRole",
            "principalId": "AROA1:ci",
            "arn": IN_ROLE.arn,
            **BASE,
            "sessionContext": {
                "sessionIssuer": ISSUED_BY_ROLE,
                "attributes": SESSION_ATTRIBUTES,
                "sourceIdentity": "ann",
            },
        },
    ),
    "federated by root": (
        Caller(FEDERATED, "ASIA1", None, "header", session=session(ROOT)),
        {
            "type": "FederatedUser",
            "principalId": f"{ACCOUNT}:bob",
            "arn": FEDERATED.arn,
            **BASE,
            "sessionContext": {
                "sessionIssuer": {
                    "type": "Root",
                    "principalId": ACCOUNT,
                    "arn": ROOT.arn,
                    "accountId": ACCOUNT,
                },
                "attributes": SESSION_ATTRIBUTES,
            },
        },
    ),
    "service": (
        Caller(
            Principal(ACCOUNT, "sns.amazonaws.com", "sns.amazonaws.com", "service"),
            *("", "us-west-2", "service"),
        ),
        {"type": "AWSService", "invokedBy": "sns.amazonaws.com"},
    ),
    "service with a role": (
        Caller(
            IN_ROLE,
            "ASIA1",
            None,
            "service",
            session=session(ROLE, service="bedrock.amazonaws.com"),
        ),
        {
            "type": "AssumedRole",
            "principalId": "AROA1:ci",
            "arn": IN_ROLE.arn,
            **BASE,
            "sessionContext": {"sessionIssuer": ISSUED_BY_ROLE, "attributes": SESSION_ATTRIBUTES},
            "invokedBy": "bedrock.amazonaws.com",
        },
    ),
    "on behalf of a user": (
        replace(BY_USER, via=("s3.us-west-2.amazonaws.com",)),
        {
            **OF_USER,
            "accessKeyId": BY_USER.key_id,
            "userName": "userxyz",
            "invokedBy": "s3.amazonaws.com",
        },
    ),
    "API key": (
        Caller(USER, "ACCA1", None, "bearer"),
        {**OF_USER, "credentialId": "ACCA1", "userName": "userxyz"},
    ),
}


@pytest.mark.parametrize("form", IDENTITIES)
def test_who_called_is_told_in_the_form_of_its_kind(form: str):
    caller, identity = IDENTITIES[form]
    assert record(caller=caller)["userIdentity"] == identity


@pytest.mark.parametrize("form", ["service", "service with a role", "on behalf of a user"])
def test_what_a_service_sends_comes_from_the_service(form: str):
    caller, identity = IDENTITIES[form]
    made = record(caller=caller)
    assert made["sourceIPAddress"] == made["userAgent"] == identity["invokedBy"]
    assert "tlsDetails" not in made


def test_a_bearer_key_is_told_apart():
    caller, _ = IDENTITIES["API key"]
    assert record(caller=caller)["additionalEventData"] == {"callWithBearerToken": True}
    assert "additionalEventData" not in record()


def test_plain_http_has_no_tls_and_an_endpoint_is_named():
    made = record(sent=request(scheme="http", endpoint="vpce-1"))
    assert "tlsDetails" not in made
    assert made["vpcEndpointId"] == "vpce-1"


@pytest.mark.parametrize(
    ("of", "error", "code"),
    [
        (INVOKE, AuthorizationDenied("no"), "AccessDenied"),
        (INVOKE, ThrottlingException("slow"), "ThrottlingException"),
        (operation("iam", "GetUser"), ServiceError("NoSuchEntity", "no"), "NoSuchEntityException"),
        (operation("s3", "CreateBucket"), ServiceError("AccessDenied", "no"), "AccessDenied"),
        (
            operation("ec2", "CreateVpc"),
            ServiceError("UnauthorizedOperation", "no", status=403),
            "Client.UnauthorizedOperation",
        ),
    ],
)
def test_a_refusal_tells_its_code_as_cloudtrail_does(of: Operation, error: AWSError, code: str):
    made = record(of, {"modelId": "m"}, error=error, result={"x": 1})
    assert (made["errorCode"], made["errorMessage"]) == (code, error.message)
    assert made["responseElements"] is None


def test_writes_tell_their_result_without_secrets_and_reads_do_not():
    key = {
        "UserName": "ann",
        "AccessKeyId": "AKIA2",
        "Status": "Active",
        "SecretAccessKey": "xyzzy",
        "CreateDate": NOW,
    }
    made = record(
        operation("iam", "CreateAccessKey"), {"UserName": "ann"}, result={"AccessKey": key}
    )
    assert made["requestParameters"] == {"userName": "ann"}
    assert made["responseElements"]["accessKey"]["accessKeyId"] == "AKIA2"
    assert "xyzzy" not in json.dumps(made)
    assert made["awsRegion"] == "us-east-1"
    read = record(operation("iam", "GetUser"), {"UserName": "ann"}, result={"User": key})
    assert read["responseElements"] is None
    assert read["readOnly"] is True


def test_an_assumed_role_is_told_without_its_token_and_names_the_other_account():
    arn = "arn:aws:iam::999999999999:role/theirs"
    credentials = {
        "AccessKeyId": "ASIA2",
        "SecretAccessKey": "xyzzy",
        "SessionToken": "plugh",
        "Expiration": NOW,
    }
    made = record(
        operation("sts", "AssumeRole"),
        {"RoleArn": arn, "RoleSessionName": "me"},
        result={"Credentials": credentials},
    )
    assert made["resources"] == [
        {"ARN": arn, "accountId": "999999999999", "type": "AWS::IAM::Role"}
    ]
    assert made["sharedEventID"]
    assert made["responseElements"]["credentials"]["accessKeyId"] == "ASIA2"
    assert not {"xyzzy", "plugh"} & set(json.dumps(made).split('"'))


def test_what_is_too_long_is_cut_or_left_out():
    name = operation("iam", "CreatePolicy")
    made = record(
        name,
        {"PolicyName": "p", "PolicyDocument": "x" * 300_000},
        error=ServiceError("LimitExceeded", "y" * 5000),
        sent=request(headers=(("user-agent", "z" * 9000),)),
    )
    assert made["requestParameters"] == {
        "omitted": True,
        "originalSize": 300_038,
        "reason": "requestParameters too large",
    }
    assert (len(made["errorMessage"]), len(made["userAgent"])) == (1024, 1024)


@pytest.mark.parametrize("text", ["\ud800", 'a"b\\c\n', "\x00", "名前"])
def test_hostile_text_makes_a_record_all_the_same(text: str):
    made = record(
        operation("iam", "GetUser"),
        {"UserName": text},
        sent=request(headers=(("user-agent", text),)),
    )
    assert made["requestParameters"]["userName"]
    assert made["userAgent"]


@pytest.mark.parametrize(
    ("service", "name", "is_wanted"),
    [
        ("s3", "GetObject", False),
        ("s3", "ListObjectsV2", False),
        ("s3", "CreateBucket", True),
        ("s3", "PutBucketPolicy", True),
        ("sqs", "SendMessage", False),
        ("sqs", "CreateQueue", True),
        ("sns", "Publish", False),
        ("logs", "PutLogEvents", False),
        ("cloudwatch", "PutMetricData", False),
        ("events", "PutEvents", False),
        ("kms", "Decrypt", True),
        ("bedrock-runtime", "ConverseStream", True),
        ("bedrock", "ListFoundationModels", True),
        ("bedrock", "StopModelCustomizationJob", True),
    ],
)
def test_management_operations_and_all_of_bedrock_are_recorded(
    service: str, name: str, is_wanted: bool
):
    assert is_data_event(operation(service, name)) is not is_wanted


def test_every_operation_of_bedrock_is_recorded():
    for name in ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime"):
        assert not any(map(is_data_event, load_service(name).operations.values()))


def test_the_bus_is_told_of_writes_alone():
    def rendered(of: Operation) -> bytes:
        return json.dumps(record(of, {"name": "x"})).encode()

    event = event_of(rendered(operation("cloudtrail", "StopLogging")))
    assert event is not None
    assert event["detail-type"] == "AWS API Call via CloudTrail"
    assert (event["source"], event["account"]) == ("aws.cloudtrail", ACCOUNT)
    assert event["detail"]["eventName"] == "StopLogging"
    assert event_of(rendered(operation("cloudtrail", "GetTrail"))) is None
    assert event_of(rendered(INVOKE)) is None


MARK = "xyzzy-secret"


@pytest.mark.parametrize(
    ("service", "name", "params"),
    [
        ("sns", "CreatePlatformApplication", {"Attributes": {"PlatformCredential": MARK}}),
        ("sns", "Subscribe", {"Endpoint": f"https://name:{MARK}@example.com/"}),
        ("iam", "EnableMFADevice", {"AuthenticationCode1": MARK, "AuthenticationCode2": MARK}),
        (
            "events",
            "PutTargets",
            {"Targets": [{"HttpParameters": {"HeaderParameters": {"x-api-key": MARK}}}]},
        ),
        (
            "events",
            "PutTargets",
            {"Targets": [{"HttpParameters": {"QueryStringParameters": {"key": MARK}}}]},
        ),
    ],
)
def test_secrets_that_no_model_marks_are_not_told(service: str, name: str, params: dict[str, Any]):
    told = json.dumps(record(operation(service, name), params)["requestParameters"])
    assert MARK not in told
    assert "HIDDEN_DUE_TO_SECURITY_REASONS" in told


def values_of(shape: Shape, draw: Any, depth: int = 0, is_secret: bool = False) -> Any:
    """Some value of the shape; what is sensitive, or a blob, holds the mark."""
    is_secret = is_secret or shape.sensitive
    match shape.type:
        case "structure":
            members = shape.members.values() if depth < 6 else ()
            chosen = [each for each in members if draw(st.booleans())]
            return {each.name: values_of(each.shape, draw, depth + 1, is_secret) for each in chosen}
        case "list":
            return [values_of(shape.item.shape, draw, depth + 1, is_secret)] if depth < 6 else []
        case "map":
            parts = (shape.members["key"].shape, shape.members["value"].shape)
            key, value = (values_of(part, draw, depth + 1, is_secret) for part in parts)
            return {str(key): value} if depth < 6 else {}
        case "blob":
            return MARK.encode()
        case "string":
            return MARK if is_secret else draw(st.sampled_from(["a", "é", 'b"', *shape.enum]))
        case "timestamp":
            return NOW
        case "boolean":
            return draw(st.booleans())
        case "float" | "double":
            return draw(st.floats())
        case _:
            return draw(st.integers())


OPERATIONS = [(service, name) for service in SERVICES for name in load_service(service).operations]


@settings(max_examples=600, deadline=None)
@given(st.data())
def test_nothing_that_a_model_marks_as_sensitive_is_ever_told(data: st.DataObject):
    of = operation(*data.draw(st.sampled_from(OPERATIONS)))
    params, result = (
        cast("dict[str, Any]", values_of(shape, data.draw)) if shape else {}
        for shape in (of.input, of.output)
    )
    made = record(of, params, result=result)
    assert MARK not in json.dumps(made)
    assert "eHl6enktc2VjcmV0" not in json.dumps(made)
