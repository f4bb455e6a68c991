"""Switches invocation logging to S3 on, as the documents tell: a bucket, its policy, one call."""

import json
from typing import Any, cast

import boto3
import gateway
from botocore.config import Config

BUCKET = "outcrop-bench-logs"
ACCOUNT = "123456789012"


def client(service: str, url: str, region: str = gateway.REGION) -> Any:
    return cast(Any, boto3).client(
        service,
        endpoint_url=url,
        region_name=region,
        aws_access_key_id=gateway.ACCESS_KEY,
        aws_secret_access_key=gateway.SECRET_KEY,
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )


def log_to_s3(url: str, region: str) -> Any:
    """The client of the bucket's S3."""
    s3 = client("s3", url, region)
    s3.create_bucket(Bucket=BUCKET)
    condition = {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"arn:aws:bedrock:{region}:{ACCOUNT}:*"},
    }
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "bedrock.amazonaws.com"},
        "Action": ["s3:PutObject"],
        "Resource": [f"arn:aws:s3:::{BUCKET}/AWSLogs/{ACCOUNT}/BedrockModelInvocationLogs/*"],
        "Condition": condition,
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    s3.put_bucket_policy(Bucket=BUCKET, Policy=json.dumps(policy))
    client("bedrock", url, region).put_model_invocation_logging_configuration(
        loggingConfig={"s3Config": {"bucketName": BUCKET}, "textDataDeliveryEnabled": True}
    )
    return s3
