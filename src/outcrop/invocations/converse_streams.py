"""The events of a Converse stream folded into the answer that Converse would have given.

A stream that broke off has the blocks that came, without what its end would have told.
"""

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

_ECHOED: Final = ("metrics", "usage", "trace", "performanceConfig", "serviceTier")
"""What ends a stream is told of by the answer itself, in AWS's order."""

Members = dict[str, Any]


class _Start(msgspec.Struct, rename="camel", gc=False):
    content_block_index: int
    start: Members


class _Delta(msgspec.Struct, rename="camel", gc=False):
    content_block_index: int
    delta: Members


class _MessageStart(msgspec.Struct, gc=False):
    role: str


class _Event(msgspec.Struct, rename="camel", gc=False):
    """One of its members is there. Errors within the stream are no part of the answer."""

    content_block_delta: _Delta | None = None
    content_block_start: _Start | None = None
    message_start: _MessageStart | None = None
    message_stop: Members | None = None
    metadata: Members | None = None


_decode: Final = msgspec.json.Decoder(list[_Event]).decode


def fold(events: bytes) -> bytes | None:
    """``events`` is a JSON array; the answer as JSON, None where the stream had not begun. Raises
    msgspec's errors for what is no such array."""
    folded = _Fold()
    for event in _decode(events):
        # A delta for each token: most of all that is logged.
        if event.content_block_delta is not None:
            folded.add(event.content_block_delta)
        else:
            folded.feed(event)
    body = folded.render()
    return None if body is None else msgspec.json.encode(body)


@dataclass(slots=True)
class _Block:
    start: Members = field(default_factory=dict[str, Any])
    deltas: list[Members] = field(default_factory=list[Members])

    def render(self) -> dict[str, Any]:
        if "toolUse" in self.start:
            return {"toolUse": self._tool()}
        if any("reasoningContent" in delta for delta in self.deltas):
            return {"reasoningContent": self._reasoning()}
        text = "".join(self._all("text"))
        citations = self._all("citation")
        if citations:
            return {"citationsContent": {"content": [{"text": text}], "citations": citations}}
        return {"text": text}

    def _all(self, name: str) -> list[Any]:
        return [delta[name] for delta in self.deltas if name in delta]

    def _tool(self) -> dict[str, Any]:
        tool: Members = self.start["toolUse"]
        written = "".join(str(piece.get("input", "")) for piece in self._all("toolUse"))
        named = {name: tool[name] for name in ("toolUseId", "name") if name in tool}
        return {**named, "input": _read_input(written), **tool}

    def _reasoning(self) -> dict[str, Any]:
        pieces: Sequence[Members] = self._all("reasoningContent")
        redacted = [piece["redactedContent"] for piece in pieces if "redactedContent" in piece]
        if redacted:
            return {"redactedContent": _joined(redacted)}
        thought: dict[str, Any] = {"text": "".join(piece.get("text", "") for piece in pieces)}
        signature = "".join(piece.get("signature", "") for piece in pieces)
        return {"reasoningText": thought | ({"signature": signature} if signature else {})}


@dataclass(slots=True)
class _Fold:
    role: str | None = None
    blocks: dict[int, _Block] = field(default_factory=dict[int, _Block])
    stop: Members = field(default_factory=dict[str, Any])
    end: Members = field(default_factory=dict[str, Any])

    def add(self, delta: _Delta) -> None:
        block = self.blocks.get(delta.content_block_index)
        if block is None:
            block = self.blocks[delta.content_block_index] = _Block()
        block.deltas.append(delta.delta)

    def feed(self, event: _Event) -> None:
        if event.message_start is not None:
            self.role = event.message_start.role
        if event.content_block_start is not None:
            start = event.content_block_start
            self.blocks.setdefault(start.content_block_index, _Block()).start = start.start
        if event.message_stop is not None:
            self.stop = event.message_stop
        if event.metadata is not None:
            self.end = event.metadata

    def render(self) -> dict[str, Any] | None:
        if self.role is None:
            return None
        content = [block.render() for _, block in sorted(self.blocks.items())]
        told = {name: self.end[name] for name in _ECHOED if name in self.end}
        return {"output": {"message": {"role": self.role, "content": content}}, **self.stop, **told}


def _read_input(written: str) -> Any:
    """A tool's input comes in pieces of JSON; one that broke off stays the text it is."""
    if not written:
        return dict[str, Any]()
    try:
        return msgspec.json.decode(written)
    except (msgspec.DecodeError, RecursionError):
        return written


def _joined(pieces: Sequence[str]) -> str:
    try:
        whole = b"".join(base64.b64decode(piece, validate=True) for piece in pieces)
    except binascii.Error:
        return "".join(pieces)
    return base64.b64encode(whole).decode()
