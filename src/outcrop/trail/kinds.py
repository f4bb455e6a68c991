"""Which operations are recorded and which of them only read: facts of CloudTrail, as tables.

Sources: the CloudTrail user guide ("Logging data events") for what is no management event, the
service guides' logging pages for operations that read under another name.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

from outcrop.wire.spec import Operation

BEDROCK: Final = "bedrock"
"""The signing name of the four services of Bedrock: whatever they are asked is recorded."""

_DATA_EVENTS: Final[Mapping[str, frozenset[str]]] = {
    "s3": frozenset(
        {"DeleteObjects", "HeadBucket", "ListMultipartUploads", "ListObjects", "ListObjectsV2"}
        | {"ListObjectVersions", "WriteGetObjectResponse"}
    ),
    "sns": frozenset({"Publish", "PublishBatch"}),
    "sqs": frozenset(
        {"SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage"}
        | {"DeleteMessageBatch", "ChangeMessageVisibility", "ChangeMessageVisibilityBatch"}
    ),
    "logs": frozenset(
        {"FilterLogEvents", "GetLogEvents", "GetLogFields", "GetLogObject", "GetLogRecord"}
        | {"GetQueryResults", "PutLogEvents", "StartLiveTail"}
    ),
    "cloudwatch": frozenset(
        {"GetMetricData", "GetMetricStatistics", "GetMetricWidgetImage", "ListMetrics"}
        | {"PutMetricData"}
    ),
    "events": frozenset({"PutEvents"}),
}
"""With S3's operations on one object, which have a key."""

_READ_PREFIXES: Final = (
    *("Get", "List", "Describe", "Head", "Lookup", "BatchGet", "Search", "Filter", "Simulate"),
    *("Validate", "Test", "Check", "Count", "Estimate", "Select"),
)

_READS: Final[Mapping[str, frozenset[str]]] = {
    "kms": frozenset(
        {"Decrypt", "DeriveSharedSecret", "Encrypt", "GenerateMac", "GenerateRandom", "ReEncrypt"}
        | {"GenerateDataKey", "GenerateDataKeyPair", "GenerateDataKeyPairWithoutPlaintext"}
        | {"GenerateDataKeyWithoutPlaintext", "Sign", "Verify", "VerifyMac"}
    ),
    "sts": frozenset(
        {"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity"}
        | {"DecodeAuthorizationMessage"}
    ),
    "bedrock-agent-runtime": frozenset({"Retrieve"}),
    "logs": frozenset({"StartQuery"}),
}
"""What changes nothing, whatever its name. Calls of models do not belong here: the recorded event
of InvokeModel has ``readOnly`` false."""


@cache
def is_data_event(operation: Operation) -> bool:
    """What is recorded only where a trail selects it (``selection.TrailSelectors``), as in AWS.
    Everything else is, and with it every operation of Bedrock."""
    service = operation.service.name
    if operation.name in _DATA_EVENTS.get(service, ()):
        return True
    return service == "s3" and operation.input is not None and "Key" in operation.input.members


@cache
def is_read_only(operation: Operation) -> bool:
    name = operation.name
    return name.startswith(_READ_PREFIXES) or name in _READS.get(operation.service.name, ())
