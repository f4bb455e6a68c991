"""What differs between a recorded answer and ours, as sentences; none when they agree.

Everything is compared but for these rules:
- ``VOLATILE`` members hold what no two calls share: their types are compared, not their values.
- ``GREW`` members were added to the service's form between 2024 and 2026. A recording may be older
  than they are; ours always has them.
- Many recorders keep only some headers. Where x-amzn-RequestId, which every answer of the service
  has, is missing, the kept ones must be among ours; otherwise the names are the same.
- Where a text is cut into pieces is the engine's affair. Streams with the same pieces are compared
  event by event. Otherwise (the service sent an empty piece, or its last one with the reason of
  the stop) a run of pieces is compared as one.
- Times inside a message are compared as form: ``20250130T064508Z`` is any time.
"""

import functools
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
from recorded_engine import chunk_of, payload_of
from recorded_exchanges import Exchange
from replaying_gateway import Replay

from outcrop.wire.eventstream import Frame

Event = tuple[str, dict[str, Any]]

VOLATILE: Final = frozenset(
    {
        "id",
        "response_id",
        "generation_id",
        "latencyMs",
        "invocationLatency",
        "firstByteLatency",
        "requestDurationMillis",
        "token",
        "tokens",
        "logprob",
    }
)
GREW: Final = frozenset(
    {
        "serverToolUsage",
        "type",
        "cacheDetails",
        "cacheReadInputTokenCount",
        "cacheReadInputTokens",
        "cacheWriteInputTokenCount",
        "cacheWriteInputTokens",
        "cache_creation",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
    }
)
_GREW_HEADERS: Final = frozenset(
    {
        "x-amzn-bedrock-cache-read-input-token-count",
        "x-amzn-bedrock-cache-write-input-token-count",
    }
)
_NOVA: Final = frozenset(
    {
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    }
)
_REDACTED: Final = "**REDACTED**"
_TIME: Final = re.compile(r"\d{8}T\d{6}Z")
# Everything else about a header's value is volatile or the body's affair.
_SAME_VALUE: Final = ("x-amzn-errortype", "x-amzn-bedrock-content-type")
_COUNTS: Final = re.compile(r"x-amzn-bedrock-.*-token-count")


def differences(
    recorded: Exchange, ours: Replay, other_values: frozenset[str] = frozenset()
) -> list[str]:
    """``other_values``: members of which only the type is compared, as of the volatile ones."""
    if ours.status != recorded.status:
        return [f"status {ours.status}, not {recorded.status}: {ours.body[:300]!r}"]
    return [
        *_headers(recorded.headers, ours.headers),
        *_Comparison(VOLATILE | other_values).bodies(recorded, ours),
    ]


def _headers(theirs: Mapping[str, str], ours: Mapping[str, str]) -> Iterator[str]:
    kept, sent = _amazon(theirs), _amazon(ours)
    for name in sorted(kept - sent):
        yield f"the header {name} is missing"
    if "x-amzn-requestid" in kept:
        for name in sorted(sent - kept - _GREW_HEADERS):
            yield f"the header {name} is extra"
    for name in sorted(kept & sent):
        if (name in _SAME_VALUE or _COUNTS.fullmatch(name)) and ours[name] != theirs[name]:
            yield f"the header {name} is {ours[name]!r}, not {theirs[name]!r}"
    media_type = theirs.get("content-type", _REDACTED)
    if media_type not in (ours["content-type"], _REDACTED):
        yield f"the content type is {ours['content-type']}, not {media_type}"


def _amazon(headers: Mapping[str, str]) -> set[str]:
    return {name for name in headers if name.startswith(("x-amz-", "x-amzn-"))}


class _Comparison:
    def __init__(self, volatile: frozenset[str]) -> None:
        self._volatile = volatile

    def bodies(self, recorded: Exchange, ours: Replay) -> Iterator[str]:
        if recorded.frames:
            yield from self._streams(recorded.frames, ours.frames)
        else:
            answer = msgspec.json.decode(ours.body)
            yield from self._compare(recorded.answer, answer, "")

    def _streams(self, theirs: Sequence[Frame], ours: Sequence[Frame]) -> Iterator[str]:
        their_events, our_events = list(map(_event, theirs)), list(map(_event, ours))
        their_kinds, our_kinds = [k for k, _ in their_events], [k for k, _ in our_events]
        if their_kinds != our_kinds:
            their_events, our_events = list(_runs(their_events)), list(_runs(our_events))
            their_kinds, our_kinds = [k for k, _ in their_events], [k for k, _ in our_events]
        if their_kinds != our_kinds:
            yield f"the events are {our_kinds}, not {their_kinds}"
            return
        for index, (their_event, our_event) in enumerate(
            zip(their_events, our_events, strict=True)
        ):
            yield from self._compare(their_event[1], our_event[1], f"{index}")
        for their_frame, our_frame in zip(theirs, ours, strict=False):
            if list(their_frame.headers) != list(our_frame.headers):
                yield f"a frame has the headers {list(our_frame.headers)}"

    def _compare(self, theirs: Any, ours: Any, path: str) -> Iterator[str]:
        if _are(dict, theirs, ours):
            yield from self._members(theirs, ours, path)
        elif _are(list, theirs, ours):
            yield from self._elements(theirs, ours, path)
        elif not self._volatile.isdisjoint(path.split("/")):
            if type(theirs) is not type(ours):
                yield f"{path} is {type(ours).__name__}, not {type(theirs).__name__}"
        elif _formed(theirs) != _formed(ours) or type(theirs) is not type(ours):
            yield f"{path} is {ours!r}, not {theirs!r}"

    def _members(self, theirs: dict[str, Any], ours: dict[str, Any], path: str) -> Iterator[str]:
        for name in sorted(theirs.keys() - ours.keys()):
            yield f"{path}/{name} is missing"
        for name in sorted(ours.keys() - theirs.keys() - GREW):
            yield f"{path}/{name} is extra"
        for name in theirs.keys() & ours.keys():
            yield from self._compare(theirs[name], ours[name], f"{path}/{name}")

    def _elements(self, theirs: list[Any], ours: list[Any], path: str) -> Iterator[str]:
        if len(theirs) != len(ours):
            yield f"{path} has {len(ours)} elements, not {len(theirs)}"
            return
        for index, (their_element, our_element) in enumerate(zip(theirs, ours, strict=True)):
            yield from self._compare(their_element, our_element, f"{path}/{index}")


def _event(frame: Frame) -> Event:
    """An event's type with the kind that the family's own chunk tells, and its content."""
    if frame.headers.get(":event-type") != "chunk":
        return str(frame.headers.get(":event-type")), payload_of(frame)
    chunk = chunk_of(frame)
    # Claude names the kind in ``type``, Cohere in ``event_type``, Nova in the only member's name.
    names = (chunk.get("type"), chunk.get("event_type"), *(chunk.keys() & _NOVA))
    kind = next((name for name in names if name and name != "completion"), "")
    return f"chunk {kind}", chunk


def _runs(events: list[Event]) -> Iterator[Event]:
    for kind, run in itertools.groupby(events, key=lambda event: event[0]):
        yield kind, functools.reduce(_joined, (content for _, content in run))


def _joined(before: Any, after: Any) -> Any:
    """Two pieces as one: texts joined, other members as the later piece has them, if it has."""
    match before, after:
        case dict(), dict():
            first, then = cast("dict[str, Any]", before), cast("dict[str, Any]", after)
            return {name: _joined(first.get(name), then.get(name)) for name in first | then}
        case list(), list():
            pairs = zip(cast("list[Any]", before), cast("list[Any]", after), strict=True)
            return [_joined(*pair) for pair in pairs]
        case str(), str():
            return before + after
        case _:
            return before if after is None else after


def _are(kind: type[Any], *values: Any) -> bool:
    return all(isinstance(value, kind) for value in values)


def _formed(value: Any) -> Any:
    return _TIME.sub("TIME", value) if isinstance(value, str) else value
