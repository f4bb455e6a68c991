"""Which rule an operation is authorized by, and how facts of a service's resources are found.

An operation without a row asks for the action of its own name on "*", as AWS names most of them.
"""

from collections.abc import Mapping, Sequence

from outcrop.authorization import (
    bedrock,
    bedrock_models,
    cloudtrail,
    cloudwatch,
    ec2,
    events,
    iam,
    kms,
    kms_facts,
    logs,
    s3,
    s3_facts,
    secretsmanager,
    service_quotas,
    sns,
    sqs,
    sts,
)
from outcrop.authorization.access import Access, Asked, FindFacts, Rule
from outcrop.wire.spec import Operation

RULES: Mapping[str, Mapping[str, Rule]] = {
    **bedrock.RULES,
    "cloudtrail": cloudtrail.RULES,
    "cloudwatch": cloudwatch.RULES,
    "ec2": ec2.RULES,
    "events": events.RULES,
    "iam": iam.RULES,
    "kms": kms.RULES,
    "logs": logs.RULES,
    "s3": s3.RULES,
    "secretsmanager": secretsmanager.RULES,
    "service-quotas": service_quotas.RULES,
    "sns": sns.RULES,
    "sqs": sqs.RULES,
    "sts": sts.RULES,
}
"""By service and operation."""

FIND_FACTS: Mapping[str, FindFacts] = {
    "bedrock": bedrock_models.find_facts,
    "cloudtrail": cloudtrail.find_facts,
    cloudwatch.PREFIX: cloudwatch.find_facts,
    "ec2": ec2.find_facts,
    "events": events.find_facts,
    "iam": iam.find_facts,
    "kms": kms_facts.find_facts,
    "logs": logs.find_facts,
    "s3": s3_facts.find_facts,
    "secretsmanager": secretsmanager.find_facts,
    # Its refusals spell the action SNS:Publish.
    "SNS": sns.find_facts,
    "sns": sns.find_facts,
    "sqs": sqs.find_facts,
    "sts": sts.find_facts,
}
"""By the service prefix of an action."""

_PREFIXES: Mapping[str, str] = {"cloudwatch": cloudwatch.PREFIX}
"""Of actions, where that is not the name that the service signs by."""


def accesses_of(operation: Operation, asked: Asked) -> Sequence[Access]:
    """All of them must be allowed."""
    service = operation.service.name
    rule = RULES.get(service, {}).get(operation.name)
    if rule is not None:
        return rule(asked)
    prefix = _PREFIXES.get(service, operation.service.signing_name)
    return (Access(f"{prefix}:{operation.name}"),)
