"""Receipt handles: which message of which queue was received, and in which turn."""

import base64
import binascii
import secrets
from dataclasses import dataclass
from typing import Final

from outcrop.errors import ServiceError

_TURN_BYTES: Final = 16
_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class Receipt:
    seq: int
    turn: str


def new_turn() -> str:
    return secrets.token_hex(_TURN_BYTES)


def render(queue: str, receipt: Receipt) -> str:
    return base64.b64encode(f"{queue}|{receipt.seq}|{receipt.turn}".encode()).decode()


def parse(queue: str, handle: str) -> Receipt:
    """Raises where it is none of this queue."""
    try:
        parts = base64.b64decode(handle.encode(), validate=True).decode().split("|")
    except (binascii.Error, ValueError):
        parts = []
    is_ours = len(parts) == _PARTS and parts[0] == queue
    if not is_ours or not parts[1].isascii() or not parts[1].isdigit() or len(parts[1]) > 18:
        raise ServiceError(
            "ReceiptHandleIsInvalid", f'The input receipt handle "{handle[:256]}" is not valid.'
        )
    return Receipt(int(parts[1]), parts[2])
