"""What calls used, added up in memory until it is written: one line an hour, model, resource and
principal."""

from typing import Protocol

import msgspec


class UsageKey(msgspec.Struct, frozen=True):
    """``model_id`` is the catalog's; ``resource`` the ARN of the inference profile or provisioned
    model that was called, or of the foundation model itself; ``principal`` the caller's ARN."""

    account: str
    region: str
    model_id: str
    resource: str
    principal: str


class UsageMeter(Protocol):
    def add(self, key: UsageKey, *, input_tokens: int, output_tokens: int) -> None:
        """One call, when it has ended. Never fails and never waits."""
        ...
