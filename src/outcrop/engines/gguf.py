"""Reads the header of a GGUF model file: what the gateway must know before it starts an engine.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. No tensor is read.
"""

import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

_MAGIC = b"GGUF"
_SCALARS = {
    0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?",
    10: "<Q", 11: "<q", 12: "<d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
# Bounds for hostile files: no metadata string or array of a real model comes near them.
_MAX_STRING_BYTES = 16 * 2**20
_MAX_ITEMS = 4 * 2**20
_MAX_DIMENSIONS = 4
_CONTROL = 3
_KV_ELEMENT_BYTES = 2


class GgufError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class GgufModel:
    """``cache_bytes_per_token`` is the size of one token's keys and values at 16 bits."""

    architecture: str
    chat_template: str | None
    bos_token: str
    eos_token: str
    eos_id: int | None
    control_tokens: tuple[str, ...]
    vocabulary_size: int
    trained_context: int
    cache_bytes_per_token: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """All that the file says of its model, by key, and the names of its tensors."""

    metadata: dict[str, Any]
    tensors: tuple[str, ...]


def read_gguf(path: Path) -> GgufModel:
    """Blocking: a large vocabulary takes tenths of a second."""
    try:
        return _model(read_metadata(path))
    except (KeyError, TypeError, ValueError) as error:
        raise GgufError(f"{path} is not a GGUF model: {error}") from error


def read_metadata(path: Path) -> dict[str, Any]:
    """All that the file says of its model, by key."""
    with _opened(path) as file:
        return _metadata(file)[0]


def read_header(path: Path) -> GgufHeader:
    """Blocking, as ``read_gguf``."""
    with _opened(path) as file:
        metadata, count = _metadata(file)
        return GgufHeader(metadata, tuple(_tensor(file) for _ in range(count)))


@contextmanager
def _opened(path: Path) -> Generator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except (GgufError, struct.error, ValueError) as error:
        raise GgufError(f"{path} is not a GGUF model: {error}") from error


def _metadata(file: BinaryIO) -> tuple[dict[str, Any], int]:
    """And how many tensors there are."""
    if file.read(4) != _MAGIC:
        raise GgufError("the file does not begin with GGUF")
    version, tensors, count = struct.unpack("<IQQ", file.read(20))
    if version not in (2, 3) or max(count, tensors) > _MAX_ITEMS:
        raise GgufError(
            f"GGUF version {version} with {count} entries and {tensors} tensors is not supported"
        )
    metadata: dict[str, Any] = {}
    for _ in range(count):
        key = _string(file)
        metadata[key] = _value(file, _scalar(file, "<I"))
    return metadata, tensors


def _tensor(file: BinaryIO) -> str:
    """Its name; behind it stand its shape, its kind and where it lies."""
    name = _string(file)
    dimensions = _scalar(file, "<I")
    if dimensions > _MAX_DIMENSIONS:
        raise GgufError(f"a tensor of {dimensions} dimensions is not supported")
    form = f"<{dimensions}QIQ"
    struct.unpack(form, file.read(struct.calcsize(form)))
    return name


def _value(file: BinaryIO, kind: int) -> Any:
    if kind == _STRING:
        return _string(file)
    if kind != _ARRAY:
        return _scalar(file, _form(kind))
    item, count = struct.unpack("<IQ", file.read(12))
    if count > _MAX_ITEMS or item == _ARRAY:
        raise GgufError(f"an array of {count} entries of kind {item} is not supported")
    if item == _STRING:
        return [_string(file) for _ in range(count)]
    form = f"<{count}{_form(item)[1]}"
    return list(struct.unpack(form, file.read(struct.calcsize(form))))


def _form(kind: int) -> str:
    if kind not in _SCALARS:
        raise GgufError(f"there is no value of kind {kind}")
    return _SCALARS[kind]


def _scalar(file: BinaryIO, form: str) -> Any:
    return struct.unpack(form, file.read(struct.calcsize(form)))[0]


def _string(file: BinaryIO) -> str:
    (size,) = struct.unpack("<Q", file.read(8))
    if size > _MAX_STRING_BYTES:
        raise GgufError(f"a text of {size} bytes is not supported")
    # Vocabularies may hold pieces that are no whole characters; only control tokens matter here.
    return file.read(size).decode("utf-8", "replace")


def _model(metadata: dict[str, Any]) -> GgufModel:
    architecture = str(metadata["general.architecture"])
    tokens: list[str] = metadata.get("tokenizer.ggml.tokens", [])
    kinds: list[int] = metadata.get("tokenizer.ggml.token_type", [])
    bos: int | None = metadata.get("tokenizer.ggml.bos_token_id")
    eos: int | None = metadata.get("tokenizer.ggml.eos_token_id")
    return GgufModel(
        architecture=architecture,
        chat_template=metadata.get("tokenizer.chat_template"),
        bos_token=_piece(tokens, bos),
        eos_token=_piece(tokens, eos),
        eos_id=eos,
        control_tokens=tuple(
            token for token, kind in zip(tokens, kinds, strict=False) if kind == _CONTROL
        ),
        vocabulary_size=len(tokens),
        trained_context=int(metadata.get(f"{architecture}.context_length", 0)),
        cache_bytes_per_token=_cache_bytes(metadata, architecture),
    )


def _piece(tokens: list[str], index: int | None) -> str:
    return tokens[index] if index is not None and index < len(tokens) else ""


def _cache_bytes(metadata: dict[str, Any], architecture: str) -> int:
    layers = _numbers(metadata, f"{architecture}.block_count")
    heads = _numbers(metadata, f"{architecture}.attention.head_count")
    if not layers or not heads:
        return 0
    kv_heads = _numbers(metadata, f"{architecture}.attention.head_count_kv") or heads
    # One number holds for every layer; an array names each layer's own.
    total = sum(kv_heads) if len(kv_heads) > 1 else kv_heads[0] * layers[0]
    head = sum(_numbers(metadata, f"{architecture}.embedding_length")) // max(1, *heads)
    keys = _numbers(metadata, f"{architecture}.attention.key_length") or [head]
    values = _numbers(metadata, f"{architecture}.attention.value_length") or [head]
    return total * (keys[0] + values[0]) * _KV_ELEMENT_BYTES


def _numbers(metadata: dict[str, Any], key: str) -> list[int]:
    value = metadata.get(key, [])
    return cast("list[int]", value) if isinstance(value, list) else [int(value)]
