"""Pictures, documents and other media in a request: read from its bytes, told in AWS's words where
the model does not take them."""

import base64
import binascii
from typing import Final

from outcrop.catalog.model import Model
from outcrop.errors import AccessDeniedException, ValidationException

# The capability word that a content block needs.
WORDS: Final = {"image": "images", "document": "documents", "video": "video"}
IMAGE_FORMATS: Final = ("png", "jpeg", "gif", "webp")
_MOST_CACHE_POINTS: Final = 4
_SIGNATURES: Final = ((b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"))


def require(kind: str, model: Model) -> None:
    """Raises where the model takes no content block of this kind."""
    if WORDS.get(kind) not in model.supports:
        raise unsupported_block(kind)


def unsupported_block(kind: str) -> ValidationException:
    return ValidationException(
        f"This model doesn't support the {kind} content block that you provided. "
        "Update the content block and try again."
    )


def require_cache(model: Model) -> None:
    """As clients report AWS's answer: code and status are those of a missing permission."""
    if "cache" not in model.supports:
        raise AccessDeniedException(
            "You invoked an unsupported model or your request did not allow prompt caching. "
            "See the documentation for more information."
        )


def check_cache_points(count: int) -> None:
    """AWS's limit, by the user guide's table of models that cache."""
    if count > _MOST_CACHE_POINTS:
        raise ValidationException(
            f"A maximum of {_MOST_CACHE_POINTS} blocks with cache_control may be provided. "
            f"Found {count}."
        )


def find_bytes(text: str) -> bytes | None:
    """What base64 stands for, if ``text`` is base64."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def find_image_format(data: bytes) -> str | None:
    """The format that the first bytes tell."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return next((name for start, name in _SIGNATURES if data.startswith(start)), None)
