"""Keys that AWS services manage in an account, made on first use, and the policies of new keys."""

from datetime import datetime, timedelta
from uuid import uuid4

import msgspec

from outcrop.stores.failures import NameTaken
from outcrop.stores.keyring import Keyring, make_material
from outcrop.stores.kms_records import KeyReference, KmsAlias, KmsKey, alias_arn, key_arn
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, Place

MANAGED = {
    "bedrock": "Bedrock",
    "s3": "S3",
    "secretsmanager": "Secrets Manager",
    "sns": "SNS",
    "sqs": "SQS",
}
"""The services whose keys exist here, and what they are called."""

ROTATION_DAYS = 365


async def ensure_managed_key(
    stores: Stores, account: str, region: str, service: str, now: datetime
) -> Item[KmsKey]:
    """The key behind ``alias/aws/<service>``."""
    keyring = await stores.keyring.settled(now)
    alias = f"alias/aws/{service}"
    key = keyring.find(KeyReference(region, account, alias))
    return key or await _make(stores, keyring, KeyReference(region, account, alias), now)


async def _make(
    stores: Stores, keyring: Keyring, alias: KeyReference, now: datetime
) -> Item[KmsKey]:
    service = alias.name.removeprefix("alias/aws/")
    key_id = str(uuid4())
    record = KmsKey(
        policy=_managed_policy(alias, service),
        materials=(make_material(stores.sealer, key_id, now),),
        description=f"Protects what {MANAGED[service]} keeps when no other key is named",
        service=service,
        rotation_days=ROTATION_DAYS,
        rotates_at=now + timedelta(days=ROTATION_DAYS),
    )
    place = Place(alias.account, alias.region, key_id)
    try:
        async with stores.resources.writing() as transaction:
            await transaction.add(
                KmsAlias(),
                Place(alias.account, alias.region, alias.name),
                parent=key_id,
                arn=alias_arn(alias.region, alias.account, alias.name),
            )
            arn = key_arn(alias.region, alias.account, key_id)
            return await transaction.add(record, place, arn=arn)
    except NameTaken:
        # Another request made it between the look and the write.
        key = keyring.find(alias)
        if key is None:
            raise
        return key


def default_policy(account: str) -> str:
    """Leaves it to the account's own policies, as AWS does when a key is made by its API."""
    return msgspec.json.encode(
        {
            "Version": "2012-10-17",
            "Id": "key-default-1",
            "Statement": [
                {
                    "Sid": "Enable IAM User Permissions",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
                    "Action": "kms:*",
                    "Resource": "*",
                }
            ],
        }
    ).decode()


def _managed_policy(alias: KeyReference, service: str) -> str:
    """Everyone of the account, but only through the service; the account may look at it."""
    through = {
        "kms:CallerAccount": alias.account,
        "kms:ViaService": f"{service}.{alias.region}.amazonaws.com",
    }
    uses = ["Encrypt", "Decrypt", "ReEncrypt*", "GenerateDataKey*", "CreateGrant", "DescribeKey"]
    views = ["Describe*", "Get*", "List*", "RevokeGrant"]
    return msgspec.json.encode(
        {
            "Version": "2012-10-17",
            "Id": f"auto-{service}-1",
            "Statement": [
                {
                    "Sid": "Use through the service",
                    "Effect": "Allow",
                    "Principal": {"AWS": "*"},
                    "Action": [f"kms:{use}" for use in uses],
                    "Resource": "*",
                    "Condition": {"StringEquals": through},
                },
                {
                    "Sid": "View by the account",
                    "Effect": "Allow",
                    "Principal": {"AWS": f"arn:aws:iam::{alias.account}:root"},
                    "Action": [f"kms:{view}" for view in views],
                    "Resource": "*",
                },
            ],
        }
    ).decode()
