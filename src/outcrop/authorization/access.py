"""What a request asks leave for: one or more actions on resources, with what it says about them.

Each service has a module here with its rows: ``RULES`` by operation, as the service authorization
reference lists them, and ``find_facts`` where its resources have tags or policies of their own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from outcrop.catalog.catalog import Catalog
from outcrop.identity import Caller
from outcrop.security.policy.document import Kind
from outcrop.stores.mirror import Mirror
from outcrop.stores.opened import Stores
from outcrop.wire.http import Request

KeyValues = Mapping[str, str | tuple[str, ...]]
"""Condition keys in lower case; a tuple is a key with several values."""


@dataclass(frozen=True, slots=True)
class Access:
    """May the caller do ``action`` on ``resource`` (an ARN, or "*")? ``keys`` are the service's own
    condition keys and ``aws:requesttag/…``, ``aws:tagkeys``; the global ones are added for all.
    ``names`` is how a refusal names the resource where that is not ``resource``; ``former`` an
    earlier name of the action, under which policies may still grant or deny it."""

    action: str
    resource: str = "*"
    keys: KeyValues = field(default_factory=dict[str, "str | tuple[str, ...]"])
    names: str | None = None
    former: str | None = None


# Not frozen, as whatever is made once a request (see wire/http.py).
@dataclass(slots=True)
class Asked:
    """An operation that is asked for: parameters by wire name, validated. ``models`` tells what
    an account calls its own models and profiles."""

    params: Mapping[str, Any]
    caller: Caller
    region: str
    catalog: Catalog
    request: Request
    models: Mirror

    @property
    def account(self) -> str:
        return self.caller.account


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an existing resource. ``decides``: without an allow in its own policy,
    directly or by delegation to the account, nothing is allowed (KMS keys, roles to assume)."""

    account: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    policy: str | None = None
    kind: Kind = "resource"
    decides: bool = False
    keys: KeyValues = field(default_factory=dict[str, "str | tuple[str, ...]"])
    """Condition keys that follow from the resource, such as ``kms:keyorigin``."""
    resource: str | None = None
    """Its ARN, where ``Access.resource`` named it otherwise (an alias, the start of a name): it is
    what policies are matched against and what a refusal names."""


Rule = Callable[[Asked], Sequence[Access]]
FindFacts = Callable[[Stores, Access], Awaitable[Facts | None]]
"""None where there is no such resource; the handler will say so."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A private endpoint that a request came through. ``policy`` is its policy's text; None lets
    everything pass."""

    id: str
    vpc_id: str
    account: str
    policy: str | None = None


FindEndpoint = Callable[[str], Endpoint | None]
