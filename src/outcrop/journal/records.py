"""What is kept of one request: the one truth behind trail, metrics, invocation logs and events."""

from typing import Literal

import msgspec

Modality = Literal["text", "image", "embedding"]


# Not frozen: filled in while the call goes on.
class Invocation(msgspec.Struct, omit_defaults=True):
    """A call of a model, as far as it got. ``model_id`` is as the caller named it, ``model`` the
    catalog's ID; ``engine`` is what served it and ``region`` where it ran. ``latency_ms`` is the
    engine's; ``first_byte_ms`` is there for streams. ``image_size`` and ``step_size`` are as the
    metric's dimensions have them (``1024x1024``)."""

    model_id: str
    model: str
    modality: Modality
    engine: str = ""
    region: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    latency_ms: int = 0
    first_byte_ms: int | None = None
    images: int = 0
    image_size: str = ""
    step_size: str = ""
    is_filtered: bool = False
    is_stream: bool = False


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was asked and answered, for the account's invocation log. ``input`` is the body as it
    came, ``output`` the body that went out: of a stream of chunks a JSON array of them, of a
    Converse stream its events in such an array."""

    input: bytes
    input_type: str
    output: bytes
    output_type: str
    metadata: dict[str, str] = {}


class CallRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """``principal`` is the caller's ARN. ``status`` is the HTTP status, 499 where the client left
    before its answer; ``error_code`` is AWS's (``ThrottlingException``), also of an error midway in
    a stream. ``trail`` is the CloudTrail record as JSON, empty where none is kept. ``content`` is
    there where the account logs invocations."""

    request_id: str
    began_us: int
    took_us: int
    account: str
    region: str
    service: str
    operation: str
    principal: str
    status: int
    error_code: str = ""
    error_message: str = ""
    trail: bytes = b""
    invocation: Invocation | None = None
    content: Content | None = None

    @property
    def began_ms(self) -> int:
        return self.began_us // 1000


CLIENT_GONE = 499

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(CallRecord).decode
