"""Customization jobs as policies know them: by ARN, however a request names one.

They are in no mirror, so they are looked up, which only requests about them wait for.
"""

from typing import Final

from outcrop.authorization.access import Facts
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Place

_KIND: Final = "model-customization-job/"
_ARN_PARTS: Final = 6


def is_job(arn: str) -> bool:
    """Not what is still to be made, which ``/*`` stands for."""
    parts = arn.split(":", _ARN_PARTS - 1)
    return len(parts) == _ARN_PARTS and parts[-1].startswith(_KIND) and not arn.endswith("/*")


async def find_job_facts(stores: Stores, arn: str) -> Facts:
    """``arn`` ends in the job's name where the request has no more. What another account owns, or
    nobody, is like it: there are no policies on jobs."""
    _, _, _, region, account, resource = arn.split(":", _ARN_PARTS - 1)
    name = resource.removeprefix(_KIND)
    async with stores.resources.reading() as view:
        item = await view.find_arn(CustomizationJob, arn)
        if item is None and "/" not in name:
            item = await view.find(CustomizationJob, Place(account, region, name))
    if item is None:
        return Facts(account=account)
    return Facts(account=account, tags=item.tags, resource=item.arn)
