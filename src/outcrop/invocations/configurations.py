"""Where the invocations of an account and region are logged, and how objects there are named."""

from datetime import UTC, datetime
from typing import Final

from outcrop.catalog.arns import partition_of
from outcrop.journal.records import Modality
from outcrop.stores.mirror import Mirror
from outcrop.stores.model_records import LogBucket, LoggingConfiguration
from outcrop.stores.resources import Place

STREAM: Final = "aws/bedrock/modelinvocations"
CHECK_LINE: Final = "Permissions are correctly set for Amazon Bedrock logs."
"""What AWS writes where logs are to go, when it may."""
CHECK_NAME: Final = "amazon-bedrock-logs-permission-check"

_NAME: Final = "default"


def logging_place(account: str, region: str) -> Place:
    return Place(account, region, _NAME)


def find_logging(models: Mirror, account: str, region: str) -> LoggingConfiguration | None:
    """Asked with every call of a model: it looks into memory."""
    found = models.find(LoggingConfiguration, logging_place(account, region))
    return None if found is None else found.record


def wants(configuration: LoggingConfiguration, modality: Modality) -> bool:
    """Whether bodies of calls of such a model are logged; that there was one is in any case."""
    match modality:
        case "text":
            return configuration.text
        case "image":
            return configuration.image
        case "embedding":
            return configuration.embedding


def source_arn(account: str, region: str) -> str:
    """What Bedrock acts for when it delivers: ``aws:SourceArn`` in policies of buckets, keys and
    roles. Which ARN AWS has there is not known; its documents have policies ask for
    ``arn:aws:bedrock:region:account:*``, which this is one of."""
    partition = partition_of(region)
    return f"arn:{partition}:bedrock:{region}:{account}:model-invocation-logging"


def folder(bucket: LogBucket, account: str) -> str:
    """The keys of everything in the bucket begin with it."""
    prefix = (bucket.prefix or "").rstrip("/")
    start = f"{prefix}/" if prefix else ""
    return f"{start}AWSLogs/{account}/BedrockModelInvocationLogs/"


def hour_folder(bucket: LogBucket, account: str, region: str, began_at_ms: int) -> str:
    began = datetime.fromtimestamp(began_at_ms / 1000, UTC)
    return f"{folder(bucket, account)}{region}/{began:%Y/%m/%d/%H}/"


def batch_name(began_at_ms: int, batch_id: str) -> str:
    """Of the object that holds a batch: the same at each try, so that none is there twice."""
    began = datetime.fromtimestamp(began_at_ms // 1000, UTC)
    return f"{began:%Y%m%dT%H%M%S}{began_at_ms % 1000:03}Z_{batch_id}.json.gz"
