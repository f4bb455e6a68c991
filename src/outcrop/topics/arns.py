"""Queues as SNS names them."""

import re
from dataclasses import dataclass
from typing import Final

_QUEUE: Final = re.compile(r"arn:aws:sqs:([a-z0-9-]{1,32}):([0-9]{12}):([A-Za-z0-9_.-]{1,80})")


@dataclass(frozen=True, slots=True)
class QueueName:
    region: str
    account: str
    name: str

    @property
    def url(self) -> str:
        return f"https://sqs.{self.region}.amazonaws.com/{self.account}/{self.name}"

    @property
    def is_fifo(self) -> bool:
        return self.name.endswith(".fifo")


def read_queue_arn(text: str) -> QueueName | None:
    found = _QUEUE.fullmatch(text)
    return QueueName(*found.groups()) if found else None
