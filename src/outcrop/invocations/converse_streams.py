"""The events of a Converse stream folded into the answer that Converse would have given.

A stream that broke off has the blocks that came, without what its end would have told.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

_ECHOED: Final = ("metrics", "usage", "trace", "performanceConfig", "serviceTier")
"""What ends a stream is told of by the answer itself, in AWS's order."""

Members = Mapping[str, Any]


def fold(events: bytes) -> bytes | None:
    """``events`` is a JSON array; the answer as JSON, None where the stream had not begun. Raises
    msgspec's errors for what is no such array."""
    folded = _Fold()
    for event in msgspec.json.decode(events, type=list[dict[str, Any]]):
        for name, members in event.items():
            folded.feed(name, members)
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

    def feed(self, name: str, members: Members) -> None:
        """Errors within the stream are no part of the answer."""
        match name:
            case "messageStart":
                self.role = members["role"]
            case "contentBlockStart":
                self._block(members).start = members["start"]
            case "contentBlockDelta":
                self._block(members).deltas.append(members["delta"])
            case "messageStop":
                self.stop = members
            case "metadata":
                self.end = members
            case _:
                pass

    def render(self) -> dict[str, Any] | None:
        if self.role is None:
            return None
        content = [block.render() for _, block in sorted(self.blocks.items())]
        told = {name: self.end[name] for name in _ECHOED if name in self.end}
        return {"output": {"message": {"role": self.role, "content": content}}, **self.stop, **told}

    def _block(self, members: Members) -> _Block:
        return self.blocks.setdefault(int(members["contentBlockIndex"]), _Block())


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
