"""What decides over a bucket and the objects in it: whose it is, its tags and its policy."""

import json
from functools import lru_cache

from outcrop.authorization.access import Access, Facts
from outcrop.authorization.public_policies import is_public, listed
from outcrop.authorization.s3 import bucket_arn
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.opened import Stores


async def find_facts(stores: Stores, access: Access) -> Facts | None:
    place = access.resource.split(":", 5)[-1] if access.resource.startswith("arn:") else ""
    name, slash, _ = place.partition("/")
    # Who makes a bucket does nothing to one that has the name already.
    if not name or access.action == "s3:CreateBucket":
        return None
    async with stores.resources.reading() as view:
        bucket = await view.find(Bucket, bucket_place(name))
    if bucket is None:
        return None
    return Facts(
        account=bucket.record.account,
        # Tags of a bucket are not those of an object.
        tags={} if slash else bucket.tags,
        policy=_in_force(name, bucket.record),
        kind="bucket",
        keys={"s3:resourceaccount": bucket.record.account},
    )


def _in_force(name: str, bucket: Bucket) -> str | None:
    if bucket.policy is None or bucket.block is None or not bucket.block.restrict:
        return bucket.policy
    return _restricted(bucket_arn(bucket.region, name), bucket.account, bucket.policy)


@lru_cache(maxsize=1024)
def _restricted(arn: str, account: str, policy: str) -> str:
    """RestrictPublicBuckets: a public policy counts for the bucket's own account alone."""
    if not is_public(policy):
        return policy
    document = json.loads(policy)
    statements = document["Statement"]
    strangers = {
        "Sid": "RestrictPublicBuckets",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [arn, f"{arn}/*"],
        "Condition": {
            "StringNotEqualsIfExists": {"aws:PrincipalAccount": account},
            "BoolIfExists": {"aws:PrincipalIsAWSService": "false"},
        },
    }
    return json.dumps({**document, "Statement": [*listed(statements), strangers]})
