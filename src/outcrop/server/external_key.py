"""A master key that only a KMS key elsewhere can open: AWS's, or that of another Outcrop.

The data directory holds it wrapped (``master.key.wrapped``); every start has it unwrapped, so who
may no longer use that key can no longer read the data.
"""

import asyncio
import base64
import binascii
from pathlib import Path
from typing import Any

import aiohttp
import botocore.exceptions
import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.session import Session

from outcrop.config import MasterKeySource
from outcrop.security import masterkey
from outcrop.security.masterkey import MasterKey, MasterKeyError

_CONTEXT = {"purpose": "outcrop-master-key"}
_TIMEOUT = aiohttp.ClientTimeout(total=30, connect=10)
_ANSWER_BYTES = 64 << 10


async def load_external_key(data_dir: Path, source: MasterKeySource, *, create: bool) -> MasterKey:
    """``create`` may have a new one made where there is none."""
    file = data_dir / masterkey.WRAPPED_FILE_NAME
    if file.exists():
        answer = await _ask(
            source,
            "Decrypt",
            {
                "CiphertextBlob": _read(file),
                "KeyId": source.kms_key_id,
                "EncryptionContext": _CONTEXT,
            },
        )
        return MasterKey(_decoded(answer, "Plaintext", source))
    if (data_dir / masterkey.FILE_NAME).exists() or not create:
        raise MasterKeyError(
            f"[master_key] names a KMS key, but {data_dir} was made without it: {file} is missing. "
            "Restore the file, or remove [master_key] from the configuration."
        )
    answer = await _ask(
        source,
        "GenerateDataKey",
        {
            "KeyId": source.kms_key_id,
            "KeySpec": "AES_256",
            "EncryptionContext": _CONTEXT,
        },
    )
    wrapped = base64.b64encode(_decoded(answer, "CiphertextBlob", source))
    try:
        await asyncio.to_thread(masterkey.write_once, file, wrapped + b"\n")
    except OSError as error:
        raise MasterKeyError(f"{file} cannot be made: {error.strerror}. Make room.") from error
    return MasterKey(_decoded(answer, "Plaintext", source))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise MasterKeyError(f"{file} cannot be read: {error}. Restore it or its mode.") from error


def _decoded(answer: Any, member: str, source: MasterKeySource) -> bytes:
    try:
        return base64.b64decode(answer[member], validate=True)
    except (KeyError, TypeError, binascii.Error, ValueError) as error:
        raise _failed(source, f"its answer has no {member}") from error


async def _ask(source: MasterKeySource, operation: str, params: dict[str, Any]) -> Any:
    url = source.endpoint_url or f"https://kms.{source.region}.amazonaws.com"
    body = msgspec.json.encode(params)
    headers = await asyncio.to_thread(_sign, source, url, operation, body)
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(url, data=body, headers=headers) as response,
        ):
            text = await response.content.read(_ANSWER_BYTES)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise _failed(source, f"{url} does not answer ({error or 'time is up'})") from error
    if response.status != 200:
        raise _failed(source, f"{url} answers {response.status}: {text.decode(errors='replace')}")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _failed(source, f"{url} does not answer as KMS does") from error


def _sign(source: MasterKeySource, url: str, operation: str, body: bytes) -> dict[str, str]:
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": f"TrentService.{operation}",
    }
    request = AWSRequest("POST", url, headers, body)
    SigV4Auth(_credentials(source), "kms", source.region).add_auth(request)
    return dict(request.headers.items())


def _credentials(source: MasterKeySource) -> ReadOnlyCredentials:
    try:
        found = Session(profile=source.profile).get_credentials()
        if found is None:
            raise _failed(source, "the AWS SDK finds no credentials to ask with")
        return found.get_frozen_credentials()
    except botocore.exceptions.BotoCoreError as error:
        raise _failed(source, f"the AWS credentials cannot be read: {error}") from error


def _failed(source: MasterKeySource, why: str) -> MasterKeyError:
    return MasterKeyError(
        f"The master key cannot be had from the KMS key {source.kms_key_id}: {why}. "
        "Look at [master_key], at the credentials, and at that key's policy and state."
    )
