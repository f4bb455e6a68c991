"""What is recorded of each request, once, when its answer is known and before its end goes out.

The journal takes what the account must find again; what cannot be written is told and counted in
the server's log, and no call fails for it.
"""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from outcrop.errors import AWSError
from outcrop.identity import Caller
from outcrop.journal.files import Journal
from outcrop.journal.records import CallRecord, Content, Invocation, encode
from outcrop.services.call import Answer, Answered, Call, Seen
from outcrop.trail.render import Asked
from outcrop.wire import json
from outcrop.wire.http import Request
from outcrop.wire.routing import Match

log = logging.getLogger(__name__)

INFERENCE: Final = frozenset(
    {"InvokeModel", "InvokeModelWithResponseStream", "Converse", "ConverseStream"}
)
"""The operations of bedrock-runtime that are invocations of a model."""

_JSON: Final = "application/json"


# Not frozen: filled in on the way.
@dataclass(slots=True)
class Passage:
    """One request on its way through the gateway. ``events`` gathers what a stream says, where the
    account logs its invocations."""

    request: Request
    request_id: str
    began_ns: int = field(default_factory=time.time_ns)
    match: Match | None = None
    caller: Caller | None = None
    region: str = ""
    now: datetime | None = None
    params: Mapping[str, Any] | None = None
    answered: Answered | None = None
    error: AWSError | None = None
    status: int = 0
    events: list[Mapping[str, Any]] | None = None
    output: bytes = b""
    seen: Seen = field(default_factory=Seen)


class Follower(Protocol):
    """Is told of every request, and may not fail: the request log, the tracer."""

    def finished(self, record: CallRecord, request: Request) -> None: ...


FindInvocation = Callable[[str, str, str], Invocation | None]
"""By account, region and ``modelId`` what a call is of that was refused before it came to a model;
None for what is no model."""


RenderTrail = Callable[
    [Asked, Mapping[str, Any] | None, Mapping[str, Any] | None, AWSError | None], bytes
]
"""Of a request, its parameters, its result and its error the CloudTrail record as JSON; empty where
none is kept."""

KeepsContent = Callable[[str, str], bool]
"""Whether an account logs its invocations in a region."""


class Recorder:
    def __init__(
        self,
        journal: Journal,
        render_trail: RenderTrail,
        find_invocation: FindInvocation,
        keeps_content: KeepsContent,
    ) -> None:
        self._journal = journal
        self._render_trail = render_trail
        self._find_invocation = find_invocation
        self._keeps_content = keeps_content
        self._failing = False
        self.followers: list[Follower] = []
        self.in_flight = 0

    def wants_events(self, passage: Passage) -> bool:
        return _is_inference(passage.match) and self._keeps_content(
            passage.caller.account if passage.caller else "", passage.region
        )

    def begin(self, request: Request, request_id: str) -> Passage:
        """``finish`` is called for it once."""
        self.in_flight += 1
        return Passage(request, request_id)

    def finish(self, passage: Passage) -> None:
        """The answer is whole, or its stream has ended."""
        self.in_flight -= 1
        try:
            record = self._record(passage)
            if record.trail or record.invocation is not None:
                self._append(record)
            for follower in self.followers:
                follower.finished(record, passage.request)
        except Exception:
            # The last resort: a bug in what is recorded does not take the answer away.
            log.exception("request %s is not recorded whole", passage.request_id)

    def inner(
        self,
        call: Call,
        params: Mapping[str, Any],
        answered: Answered | None,
        error: AWSError | None,
    ) -> None:
        """An operation that another one asked for."""
        asked = Asked(
            call.operation, call.caller, call.region, call.request, call.request_id, call.now
        )
        trail = self._render_trail(asked, params, _result(answered), error)
        if not trail:
            return
        self._append(
            CallRecord(
                request_id=call.request_id,
                began_us=time.time_ns() // 1000,
                took_us=0,
                account=call.account,
                region=call.region,
                service=call.operation.service.name,
                operation=call.operation.name,
                principal=call.caller.arn,
                status=error.status if error else 200,
                error_code=error.code if error else "",
                error_message=_text(str(error)) if error else "",
                trail=trail,
            )
        )

    def _record(self, passage: Passage) -> CallRecord:
        caller, match, error = passage.caller, passage.match, passage.error
        account = caller.account if caller else ""
        invocation = self._invocation(passage, account)
        return CallRecord(
            request_id=passage.request_id,
            began_us=passage.began_ns // 1000,
            took_us=(time.time_ns() - passage.began_ns) // 1000,
            account=account,
            region=_text(passage.region),
            service=match.operation.service.name if match else "",
            operation=match.operation.name if match else "",
            principal=caller.arn if caller else "",
            status=passage.status,
            error_code=error.code if error else "",
            error_message=_text(str(error)) if error else "",
            trail=self._trail(passage),
            invocation=invocation,
            content=self._content(passage, invocation, account),
        )

    def _trail(self, passage: Passage) -> bytes:
        match, caller, now = passage.match, passage.caller, passage.now
        if match is None or caller is None or now is None:
            return b""
        asked = Asked(
            match.operation, caller, passage.region, passage.request, passage.request_id, now
        )
        return self._render_trail(asked, passage.params, _result(passage.answered), passage.error)

    def _invocation(self, passage: Passage, account: str) -> Invocation | None:
        match = passage.match
        if match is None or not account or not _is_inference(match):
            return None
        if passage.seen.invocation is not None:
            return passage.seen.invocation
        model_id = match.labels.get("modelId", "")
        return self._find_invocation(account, passage.region, model_id)

    def _content(
        self, passage: Passage, invocation: Invocation | None, account: str
    ) -> Content | None:
        if invocation is None or not self._keeps_content(account, passage.region):
            return None
        request, params = passage.request, passage.params or {}
        return Content(
            input=request.body,
            input_type=request.header("content-type") or _JSON,
            output=_told(passage.events) if passage.events is not None else passage.output,
            output_type=_JSON,
            metadata=params.get("requestMetadata", {}),
        )

    def _append(self, record: CallRecord) -> None:
        try:
            self._journal.append(encode(record))
        except OSError as error:
            if not self._failing:
                log.error("requests are not recorded: %s. Free space in the data directory.", error)
            self._failing = True
            return
        if self._failing:
            log.error("requests are recorded again; those in between are not")
        self._failing = False


def _text(text: str) -> str:
    """Refusals repeat what clients sent, which need not be UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _is_inference(match: Match | None) -> bool:
    return (
        match is not None
        and match.operation.name in INFERENCE
        and match.operation.service.name == "bedrock-runtime"
    )


def _result(answered: Answered | None) -> Mapping[str, Any] | None:
    if isinstance(answered, Answer):
        return answered.result
    return answered if isinstance(answered, Mapping) else None


def _told(events: list[Mapping[str, Any]]) -> bytes:
    """A JSON array: of the chunks of a model's own form, or of the events of a conversation."""
    if events and all("chunk" in event for event in events):
        return b"[%b]" % b",".join(event["chunk"]["bytes"] for event in events)
    return json.encode(events)
