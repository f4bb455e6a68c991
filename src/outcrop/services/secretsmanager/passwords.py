"""Random passwords: a character of each kind that is required, the others drawn from all."""

import secrets
import string
from collections.abc import Mapping
from typing import Any

from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import invalid_parameter

_DEFAULT_LENGTH = 32
_KINDS = {
    "ExcludeUppercase": string.ascii_uppercase,
    "ExcludeLowercase": string.ascii_lowercase,
    "ExcludeNumbers": string.digits,
    "ExcludePunctuation": string.punctuation,
}


@operation
async def get_random_password(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    length = params.get("PasswordLength", _DEFAULT_LENGTH)
    kinds = [letters for member, letters in _KINDS.items() if not params.get(member)]
    if params.get("IncludeSpace"):
        kinds.append(" ")
    excluded = set(params.get("ExcludeCharacters", ""))
    usable = ["".join(letter for letter in kind if letter not in excluded) for kind in kinds]
    alphabet = "".join(usable)
    if not alphabet:
        raise invalid_parameter("Every character is excluded: leave some for the password.")
    required: list[str] = []
    if params.get("RequireEachIncludedType", True):
        if not all(usable):
            raise invalid_parameter(
                "A required type of character is excluded whole: set RequireEachIncludedType to "
                "false, or exclude less."
            )
        required = usable
    if len(required) > length:
        raise invalid_parameter(
            f"A password of {length} characters cannot hold {len(required)} required types."
        )
    return {"RandomPassword": _password(alphabet, required, length)}


def _password(alphabet: str, required: list[str], length: int) -> str:
    letters = [secrets.choice(kind) for kind in required]
    letters += [secrets.choice(alphabet) for _ in range(length - len(letters))]
    secrets.SystemRandom().shuffle(letters)
    return "".join(letters)
