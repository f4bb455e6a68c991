"""What an event is about: resources that its parameters or result name, by type.

``resources`` of a record are ARNs with their account; events are looked up by types and names.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

_ARN_PARTS: Final = 6
_MOST: Final = 20

_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "bedrock": {
        "modelId": "AWS::Bedrock::Model",
        "guardrailIdentifier": "AWS::Bedrock::Guardrail",
        "inferenceProfileIdentifier": "AWS::Bedrock::ApplicationInferenceProfile",
        "inferenceProfileArn": "AWS::Bedrock::ApplicationInferenceProfile",
        "provisionedModelId": "AWS::Bedrock::ProvisionedModelThroughput",
        "provisionedModelArn": "AWS::Bedrock::ProvisionedModelThroughput",
        "agentId": "AWS::Bedrock::Agent",
        "knowledgeBaseId": "AWS::Bedrock::KnowledgeBase",
        "promptIdentifier": "AWS::Bedrock::Prompt",
        "flowIdentifier": "AWS::Bedrock::Flow",
    },
    "cloudtrail": {"name": "AWS::CloudTrail::Trail", "trailName": "AWS::CloudTrail::Trail"},
    "ec2": {
        "vpcId": "AWS::EC2::VPC",
        "subnetId": "AWS::EC2::Subnet",
        "groupId": "AWS::EC2::SecurityGroup",
        "networkInterfaceId": "AWS::EC2::NetworkInterface",
        "routeTableId": "AWS::EC2::RouteTable",
        "vpcEndpointId": "AWS::EC2::VPCEndpoint",
    },
    "events": {"rule": "AWS::Events::Rule", "eventBusName": "AWS::Events::EventBus"},
    "iam": {
        "userName": "AWS::IAM::User",
        "groupName": "AWS::IAM::Group",
        "roleName": "AWS::IAM::Role",
        "policyArn": "AWS::IAM::Policy",
        "policyName": "AWS::IAM::Policy",
        "accessKeyId": "AWS::IAM::AccessKey",
    },
    "kms": {"keyId": "AWS::KMS::Key", "targetKeyId": "AWS::KMS::Key"},
    "logs": {"logGroupName": "AWS::Logs::LogGroup"},
    "monitoring": {"alarmName": "AWS::CloudWatch::Alarm", "alarmNames": "AWS::CloudWatch::Alarm"},
    "s3": {"bucketName": "AWS::S3::Bucket"},
    "secretsmanager": {
        "secretId": "AWS::SecretsManager::Secret",
        "name": "AWS::SecretsManager::Secret",
        "aRN": "AWS::SecretsManager::Secret",
    },
    "sns": {"topicArn": "AWS::SNS::Topic", "subscriptionArn": "AWS::SNS::Subscription"},
    "sqs": {"queueUrl": "AWS::SQS::Queue", "queueName": "AWS::SQS::Queue"},
    "sts": {"roleArn": "AWS::IAM::Role"},
}
"""By signing name and by member of the parameters or, first level and one below, the result."""

_TOLD_ACCOUNTS: Final = frozenset({"kms", "s3", "sts"})
"""The services whose records say what they are about."""


def resources_of(
    service: str, params: Mapping[str, Any] | None, account: str, region: str
) -> list[dict[str, str]]:
    """``params`` as they are told."""
    if service not in _TOLD_ACCOUNTS or params is None:
        return []
    found: list[dict[str, str]] = []
    if service == "s3" and "key" in params and "bucketName" in params:
        arn = f"arn:aws:s3:::{params['bucketName']}/{params['key']}"
        found.append({"type": "AWS::S3::Object", "ARN": arn})
    for type, name in _named(service, params):
        arn = _bucket_arn(name) if service == "s3" else _arn(name, account, region)
        if arn is not None:
            owner = arn.split(":", _ARN_PARTS - 1)[4]
            of = {"accountId": owner} if owner else {}
            found.append({"ARN": arn, **of, "type": type})
    return found


def looked_up_by(service: str, record: Mapping[str, Any]) -> list[dict[str, str]]:
    """Types and names of what an event is about. ``service`` as in its source."""
    seen: dict[tuple[str, str], None] = {}
    for part, find in (("requestParameters", _named), ("responseElements", _named_within)):
        told = record.get(part)
        if isinstance(told, Mapping):
            seen |= dict.fromkeys(find(service, cast(Mapping[str, Any], told)))
    for each in record.get("resources", ()):
        seen.setdefault((each["type"], each["ARN"]))
    return [{"type": type, "name": name} for type, name in list(seen)[:_MOST]]


def _named_within(service: str, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """And one level below. Not of parameters: the names in their maps are the caller's own words,
    such as those of an encryption context."""
    yield from _named(service, told)
    for value in told.values():
        if isinstance(value, Mapping):
            yield from _named(service, cast(Mapping[str, Any], value))


def _named(service: str, told: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    types = _TYPES.get(service, {})
    for name, value in told.items():
        type = types.get(name)
        if type is None:
            continue
        elif isinstance(value, str):
            yield type, value
        elif isinstance(value, list):
            texts = cast("list[Any]", value)
            yield from ((type, each) for each in texts[:_MOST] if isinstance(each, str))


def _bucket_arn(name: str) -> str | None:
    return name if name.startswith("arn:") else f"arn:aws:s3:::{name}"


def _arn(name: str, account: str, region: str) -> str | None:
    """Of a KMS key by its ID as well; what an alias stands for, the parameters do not say."""
    if name.startswith("arn:"):
        return name if name.count(":") >= _ARN_PARTS - 1 else None
    is_key = not name.startswith("alias/")
    return f"arn:aws:kms:{region}:{account}:key/{name}" if is_key else None
