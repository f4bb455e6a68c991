"""Grant tokens: which grant is meant. No secret: grant IDs are random, and rights are looked up.

A grant takes effect at once here, so a token adds no permission; it names the grant to retire.
"""

import base64
import binascii
import struct
from dataclasses import dataclass
from uuid import UUID

_FORM = struct.Struct(">BQ16s32s")
_VERSION = 1


class MalformedToken(Exception):
    """No token of ours."""


@dataclass(frozen=True, slots=True)
class GrantToken:
    """True only as far as the grant it names exists: grant IDs are random and long."""

    account: str
    key_id: str
    grant_id: str


def make_grant_token(token: GrantToken) -> str:
    packed = _FORM.pack(
        _VERSION, int(token.account), UUID(token.key_id).bytes, bytes.fromhex(token.grant_id)
    )
    return base64.b64encode(packed).decode()


def read_grant_token(text: str) -> GrantToken:
    try:
        packed = base64.b64decode(text, validate=True)
        version, account, key_id, grant_id = _FORM.unpack(packed)
    except (binascii.Error, ValueError, struct.error) as error:
        raise MalformedToken from error
    if version != _VERSION:
        raise MalformedToken
    return GrantToken(f"{account:012d}", str(UUID(bytes=key_id)), grant_id.hex())
