"""Whether a custom model may be opened for a caller now: by leave on its KMS key, and by its grant.

Asked at every invocation, since a model that is loaded does not go back to KMS.
"""

from dataclasses import replace
from typing import Final

from outcrop.authorization import kms
from outcrop.authorization.access import Asked
from outcrop.errors import AccessDeniedException
from outcrop.services.call import Call
from outcrop.stores.kms_records import read_reference
from outcrop.stores.model_records import CustomModel, DataKey

NO_DECRYPT: Final = (
    "You don't have sufficient access to the model's KMS key. Ensure that kms:Decrypt permissions "
    "are correctly configured"
)
CONTEXT: Final = "aws:bedrock:arn"
"""The name in the encryption context. AWS documents it for what Bedrock keeps of agents and says
nothing of custom models."""


def through_bedrock(call: Call) -> str:
    """How KMS names the service that calls on a caller's behalf."""
    return f"bedrock.{call.region}.amazonaws.com"


async def require_model_key(call: Call, model: CustomModel) -> None:
    """All that opening ``model`` for this caller takes: leave to decrypt with the customer's key,
    and for one that was trained here a usable key with Bedrock's grant on it."""
    data_key = model.adapter.data_key if model.adapter else None
    if model.kms_key is not None:
        await require_decrypt(call, model.kms_key, data_key)
    if data_key is not None:
        await _require_grant(call, data_key)


async def require_decrypt(call: Call, key_arn: str, data_key: DataKey | None = None) -> None:
    """Leave to decrypt through Bedrock, in the context of ``data_key``, which policies may name.
    This asks policies and grants; it decrypts nothing and leaves nothing in the trail."""
    context = {} if data_key is None else {CONTEXT: data_key.context}
    caller = replace(call.caller, via=(*call.caller.via, through_bedrock(call)))
    asked = Asked(
        {"KeyId": key_arn, "EncryptionContext": context},
        caller,
        call.region,
        call.catalog,
        call.request,
        call.stores.models,
    )
    asking = replace(call, caller=caller)
    for access in kms.RULES["Decrypt"](asked):
        if not await asking.may(access):
            raise AccessDeniedException(NO_DECRYPT)


async def _require_grant(call: Call, data_key: DataKey) -> None:
    keyring = await call.stores.keyring.settled(call.now)
    reference = read_reference(data_key.kms_key, call.region, call.account)
    key = keyring.find(reference) if reference else None
    if key is None:
        reason = "no longer exists"
    elif key.record.deletes_at is not None:
        reason = "is pending deletion"
    elif not key.record.enabled:
        reason = "is disabled"
    elif keyring.find_grant(key.place, data_key.grant) is None:
        reason = "has no grant for Amazon Bedrock any more: it was revoked"
    else:
        return
    raise AccessDeniedException(
        f"The model cannot be decrypted: its KMS key {data_key.kms_key} {reason}."
    )
