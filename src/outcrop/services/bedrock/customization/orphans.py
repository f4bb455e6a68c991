"""Grants that a killed server made for customization jobs which nobody has: retired at the start,
when no request for a job is under way."""

import logging

from outcrop.authorization.bedrock_jobs import is_job
from outcrop.errors import AWSError
from outcrop.services.background import Background
from outcrop.services.bedrock.customization.keys import drop_data_key
from outcrop.services.service_callers import BEDROCK
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.kms_records import KmsGrant, key_arn
from outcrop.stores.model_records import DataKey
from outcrop.stores.opened import Stores
from outcrop.stores.resources import Item, View

log = logging.getLogger(__name__)


async def retire_orphans(stores: Stores, background: Background) -> None:
    """What cannot be retired now is looked at again at the next start."""
    async with stores.resources.reading() as view:
        grants = await view.list(KmsGrant)
        orphans = [each for grant in grants if (each := await _find_orphan(view, grant))]
    for data_key in orphans:
        log.info("%s is no job: its grant %s is retired", data_key.context, data_key.grant)
        try:
            await drop_data_key(background, data_key)
        except AWSError as error:
            log.warning("the grant for %s was not retired: %s", data_key.context, error.message)


async def _find_orphan(view: View, grant: Item[KmsGrant]) -> DataKey | None:
    source = grant.record.source_arn or ""
    is_bedrocks = (grant.record.grantee, grant.record.retiring) == (BEDROCK, BEDROCK)
    if not is_bedrocks or not is_job(source) or await view.find_arn(CustomizationJob, source):
        return None
    key = key_arn(grant.place.region, grant.place.account, grant.parent)
    return DataKey(kms_key=key, ciphertext=b"", context=source, grant=grant.name)
