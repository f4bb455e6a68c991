"""What decides over a bucket and the objects in it: whose it is, its tags and its policy."""

from outcrop.authorization.access import Access, Facts
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
        policy=bucket.record.policy,
        kind="bucket",
        keys={"s3:resourceaccount": bucket.record.account},
    )
