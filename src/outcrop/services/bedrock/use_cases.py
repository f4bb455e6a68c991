"""What an account says it wants the models of some providers for: one form, kept as it was sent."""

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from outcrop.errors import ResourceNotFoundException
from outcrop.services.bedrock.access_changes import use_case_place
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.stores.model_records import UseCase

_NO_FORM = "You have not filled out the request form. Fill out the form before getting access."


@operation
async def put_use_case_for_model_access(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    record = UseCase(form=base64.b64encode(params["formData"]).decode())
    place = use_case_place(call.account)
    async with call.stores.resources.writing() as transaction:
        found = await transaction.find(UseCase, place)
        if found is None:
            await transaction.add(record, place)
        else:
            await transaction.put(replace(found, record=record))
    return {}


@operation
async def get_use_case_for_model_access(call: Call, _params: Mapping[str, Any]) -> dict[str, Any]:
    """The same in every region."""
    async with call.stores.resources.reading() as view:
        found = await view.find(UseCase, use_case_place(call.account))
    if found is None:
        raise ResourceNotFoundException(_NO_FORM)
    return {"formData": base64.b64decode(found.record.form)}
