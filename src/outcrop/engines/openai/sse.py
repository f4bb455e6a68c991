"""Server-sent events, cut into their data as bytes arrive; memory is bounded.

Works on bytes, so a character that is split between two network reads is never seen in halves.
"""

LIMIT_BYTES = 4 << 20


class EventTooLong(Exception):
    pass


class EventParser:
    """``feed`` returns the data of each event that is complete; other fields are not kept."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._line = bytearray()
        self._data: list[bytes] = []
        self._size = 0
        self._after_return = False

    def feed(self, received: bytes) -> list[bytes]:
        if self._after_return and received[:1] == b"\n":
            received = received[1:]
        if received:
            self._after_return = received.endswith(b"\r")
        events: list[bytes] = []
        *lines, rest = received.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            self._check(len(line))
            if self._line:
                line = bytes(self._line) + line
                self._line.clear()
            self._end_line(line, events)
        self._check(len(rest))
        self._line += rest
        return events

    def _end_line(self, line: bytes, events: list[bytes]) -> None:
        if not line:
            if self._data:
                events.append(b"\n".join(self._data))
            self._data.clear()
            self._size = 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size += len(value) + 1

    def _check(self, more: int) -> None:
        if self._size + len(self._line) + more > self._limit:
            raise EventTooLong(f"an event is longer than {self._limit} bytes")
