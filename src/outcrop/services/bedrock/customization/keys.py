"""The data key of a customization job and its model, under the customer's KMS key or the account's.

It is made as the caller, through Bedrock, and opened later as Bedrock: by a grant that holds for
this one job and this one encryption context. The plain key is never kept.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any, Final

from outcrop.errors import (
    AccessDeniedException,
    AWSError,
    ServiceQuotaExceededException,
    ThrottlingException,
    ValidationException,
)
from outcrop.services.background import Background
from outcrop.services.bedrock.customization.refusals import may_pass
from outcrop.services.call import Call
from outcrop.services.model_keys import (
    CONTEXT,
    NO_DECRYPT,
    require_decrypt,
    require_model_key,
    through_bedrock,
)
from outcrop.services.service_callers import BEDROCK, service_caller
from outcrop.stores.kms_managed import ensure_managed_key
from outcrop.stores.model_records import DataKey

__all__ = [
    "NO_DECRYPT",
    "KeyUnavailable",
    "drop_data_key",
    "make_data_key",
    "open_data_key",
    "require_decrypt",
    "require_model_key",
]

log = logging.getLogger(__name__)

_KEY_SPEC: Final = "AES_256"
_SERVER_ERROR: Final = 500
_REASONS: Final[Mapping[str, str]] = {
    "AccessDeniedException": "does not allow Amazon Bedrock to decrypt: the grant was revoked, a "
    "policy denies it, or the key is gone",
    "DisabledException": "is disabled",
    "InvalidCiphertextException": "did not encrypt what it is asked to decrypt",
    "KMSInvalidStateException": "is pending deletion",
    "NotFoundException": "no longer exists",
}


class KeyUnavailable(Exception):
    """KMS does not open the data key now; the text says why, for the owner of the model.
    ``may_pass``: that is no state of the key, and asked later KMS may open it."""

    def __init__(self, reason: str, *, may_pass: bool = False) -> None:
        super().__init__(reason)
        self.may_pass = may_pass


async def make_data_key(call: Call, context_arn: str, customer_key: str | None) -> DataKey:
    """``context_arn`` is the job's, in whose name all is sealed. ``customer_key`` is an ID, an
    alias or an ARN; the model is under the customer's key where that was given, and ``kms_key`` of
    the result is then its ARN. The caller has to be allowed what is asked of KMS here. Writes, so
    it is called outside of any transaction; ``drop_data_key`` takes it back."""
    context = {CONTEXT: context_arn}
    if customer_key is None:
        account, region = call.account, call.region
        managed = await ensure_managed_key(call.stores, account, region, "bedrock", call.now)
        key_arn = str(managed.arn)
    else:
        key_arn = await _checked(call, customer_key)
    made = await _ask(
        call, "GenerateDataKey", KeyId=key_arn, KeySpec=_KEY_SPEC, EncryptionContext=context
    )
    ciphertext: bytes = made["CiphertextBlob"]
    if customer_key is not None:
        # Whoever has a model made must be allowed to use it, too.
        await _ask(
            call,
            "Decrypt",
            KeyId=key_arn,
            CiphertextBlob=ciphertext,
            EncryptionContext=context,
        )
    granting = asyncio.create_task(_grant(call, key_arn, context_arn))
    try:
        grant = await asyncio.shield(granting)
    except asyncio.CancelledError:
        # Whoever waited is gone. What KMS was asked for it does all the same.
        await _take_back(call, granting, key_arn, context_arn)
        raise
    return DataKey(kms_key=key_arn, ciphertext=ciphertext, context=context_arn, grant=grant)


async def open_data_key(background: Background, data_key: DataKey) -> bytes:
    """The plain key, 32 bytes, to be dropped as soon as what it sealed is open. Raises
    ``KeyUnavailable``."""
    asked = {
        "KeyId": data_key.kms_key,
        "CiphertextBlob": data_key.ciphertext,
        "EncryptionContext": {CONTEXT: data_key.context},
    }
    caller = service_caller(BEDROCK, data_key.context)
    try:
        opened = await background.perform(caller, "kms", "Decrypt", asked)
    except AWSError as error:
        reason = _REASONS.get(error.code, f"cannot be used: {error.message}")
        raise KeyUnavailable(
            f"The KMS key {data_key.kms_key} {reason}.", may_pass=may_pass(error)
        ) from error
    return opened["Plaintext"]


async def drop_data_key(background: Background, data_key: DataKey) -> None:
    """Retires the grant: nobody but the key's owner opens it from now on. What KMS fails at by
    itself is raised, so that the caller tries again."""
    asked = {"KeyId": data_key.kms_key, "GrantId": data_key.grant}
    caller = service_caller(BEDROCK, data_key.context)
    try:
        await background.perform(caller, "kms", "RetireGrant", asked)
    except AWSError as error:
        if may_pass(error):
            raise
        # Revoked before, or gone with its key; or the key's policy forbids to retire it.
        log.info("the grant for %s was not retired: %s", data_key.context, error.message)


async def _grant(call: Call, key_arn: str, context_arn: str) -> str:
    """Its ID."""
    granted = await _ask(
        call,
        "CreateGrant",
        KeyId=key_arn,
        GranteePrincipal=BEDROCK,
        RetiringPrincipal=BEDROCK,
        Operations=["Decrypt"],
        Constraints={
            "EncryptionContextEquals": {CONTEXT: context_arn},
            "SourceArn": context_arn,
        },
    )
    return granted["GrantId"]


async def _take_back(
    call: Call, granting: "asyncio.Task[str]", key_arn: str, context_arn: str
) -> None:
    await asyncio.wait([granting])
    if granting.cancelled() or granting.exception() is not None:
        return
    data_key = DataKey(
        kms_key=key_arn, ciphertext=b"", context=context_arn, grant=granting.result()
    )
    await drop_data_key(call.observing.background, data_key)


async def _checked(call: Call, customer_key: str) -> str:
    """The ARN of a key that can encrypt a model."""
    described = (await _ask(call, "DescribeKey", KeyId=customer_key))["KeyMetadata"]
    arn: str = described["Arn"]
    if described["KeyManager"] != "CUSTOMER":
        raise ValidationException(
            f"The KMS key {arn} is managed by AWS. Name a customer managed key, or none."
        )
    if described["KeySpec"] != "SYMMETRIC_DEFAULT" or described["KeyUsage"] != "ENCRYPT_DECRYPT":
        raise ValidationException(
            f"The KMS key {arn} is not a symmetric encryption key. Name one that is."
        )
    if described["KeyState"] != "Enabled":
        raise ValidationException(
            f"The KMS key {arn} is in the state {described['KeyState']}. It must be Enabled."
        )
    return arn


async def _ask(call: Call, operation: str, **params: Any) -> Mapping[str, Any]:
    try:
        return await call.perform("kms", operation, params, via=through_bedrock(call))
    except AWSError as error:
        raise _as_of_bedrock(error) from error


def _as_of_bedrock(error: AWSError) -> AWSError:
    """The codes that Bedrock's operations declare."""
    if error.code == "AccessDeniedException":
        return AccessDeniedException(error.message)
    if error.code == "ThrottlingException":
        return ThrottlingException(error.message)
    if error.code == "LimitExceededException":
        return ServiceQuotaExceededException(error.message)
    if error.status >= _SERVER_ERROR:
        return error
    return ValidationException(f"The KMS key cannot be used: {error.message}")
