"""The turns of a conversation as ``messages`` of a chat completion.

Earlier thoughts are not sent: no server of this interface documents a field to take them back. Nor
are cache points: these servers cache every prompt by themselves.
"""

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from outcrop.engines.openai.peers import Peer
from outcrop.engines.protocol import Unsupported
from outcrop.generation import (
    CachePoint,
    Document,
    Generation,
    Image,
    Media,
    Part,
    Reasoning,
    S3Location,
    Text,
    ToolResult,
    ToolUse,
    Turn,
    Video,
)
from outcrop.prompting.errors import Unreadable
from outcrop.prompting.plain import TEXT_FORMATS, document_text

_VIDEO_TYPES = {
    "flv": "x-flv",
    "mkv": "x-matroska",
    "mov": "quicktime",
    "mpg": "mpeg",
    "three_gp": "3gpp",
    "wmv": "x-ms-wmv",
}


def messages(generation: Generation, peer: Peer, engine: str) -> list[dict[str, Any]]:
    system = generation.system
    opening = [] if system is None else [{"role": "system", "content": system}]
    rendering = _Messages(peer, engine)
    return opening + [message for turn in generation.turns for message in rendering.render(turn)]


def has_media(generation: Generation) -> bool:
    """Media are large: an event loop should not wait for their rendering."""
    return any(True for _ in _media(generation))


def only_text(generation: Generation) -> bool:
    """How many tokens other media have, nobody can tell from their bytes."""
    return all(
        isinstance(one, Document) and one.format in TEXT_FORMATS for one in _media(generation)
    )


def _media(generation: Generation) -> Iterator[Media]:
    for turn in generation.turns:
        for part in turn.parts:
            yield from _media_of(part)


def _media_of(part: Part) -> Sequence[Media]:
    match part:
        case Image() | Document() | Video():
            return (part,)
        case ToolResult():
            return part.media
        case Text() | ToolUse() | Reasoning() | CachePoint():
            return ()


class _Messages:
    def __init__(self, peer: Peer, engine: str) -> None:
        self._peer = peer
        self._engine = engine

    def render(self, turn: Turn) -> Iterator[dict[str, Any]]:
        if turn.role == "assistant":
            yield self._assistant(turn)
            return
        # Results come first: OpenAI's form wants them right behind the calls they answer.
        results = [part for part in turn.parts if isinstance(part, ToolResult)]
        for part in results:
            text = f"Error: {part.text}" if part.is_error else part.text
            yield {"role": "tool", "tool_call_id": part.tool_use_id, "content": text}
        content = [one for part in results for one in self._attached(part)]
        content += [one for part in turn.parts for one in self._content(part)]
        if content:
            yield {"role": "user", "content": _joined(content)}

    def _assistant(self, turn: Turn) -> dict[str, Any]:
        for part in turn.parts:
            if isinstance(part, Image | Document | Video):
                raise Unsupported("content of an assistant turn", type(part).__name__, self._engine)
        calls = [_call(part) for part in turn.parts if isinstance(part, ToolUse)]
        content = "".join(part.text for part in turn.parts if isinstance(part, Text))
        message = {"role": "assistant", "content": content if content or not calls else None}
        return message | ({"tool_calls": calls} if calls else {})

    def _attached(self, result: ToolResult) -> list[dict[str, Any]]:
        """A tool's message holds text alone: what else it answered follows as the user's."""
        if not result.media:
            return []
        label = _text(f"Attached to the result of the tool call {result.tool_use_id}:")
        return [label, *(self._media(one) for one in result.media)]

    def _content(self, part: Part) -> Iterator[dict[str, Any]]:
        match part:
            case Text():
                yield _text(part.text)
            case Image() | Document() | Video():
                yield self._media(part)
            case ToolUse() | ToolResult() | Reasoning() | CachePoint():
                pass

    def _media(self, media: Media) -> dict[str, Any]:
        match media:
            case Image():
                url = self._data_url(f"image/{media.format}", media.data)
                return {"type": "image_url", "image_url": {"url": url}}
            case Video():
                return self._video(media)
            case Document():
                return self._document(media)

    def _video(self, video: Video) -> dict[str, Any]:
        if not self._peer.video:
            raise Unsupported("video", video.format, self._engine)
        kind = _VIDEO_TYPES.get(video.format, video.format)
        url = self._data_url(f"video/{kind}", video.data)
        return {"type": "video_url", "video_url": {"url": url}}

    def _document(self, document: Document) -> dict[str, Any]:
        data = document.data
        if document.citations:
            raise Unsupported("citations", "enabled", self._engine)
        if document.format == "pdf" and self._peer.pdf and not isinstance(data, tuple):
            data = self._data_url("application/pdf", data)
            file = {"filename": f"{document.name}.pdf", "file_data": data}
            return {"type": "file", "file": file}
        try:
            return _text(document_text(document))
        except Unreadable as error:
            raise Unsupported(error.kind, error.form, self._engine) from error

    def _data_url(self, kind: str, data: bytes | S3Location) -> str:
        if isinstance(data, S3Location):
            raise Unsupported("s3Location", data.uri, self._engine)
        return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _joined(content: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Text alone goes as a string, which every server takes."""
    if all(one["type"] == "text" for one in content):
        return "\n".join(one["text"] for one in content)
    return content


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _call(part: ToolUse) -> dict[str, Any]:
    arguments = msgspec.json.encode(part.input).decode()
    function = {"name": part.name, "arguments": arguments}
    return {"id": part.id, "type": "function", "function": function}
