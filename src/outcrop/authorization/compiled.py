"""Stored policies, compiled: once for each text, and ahead of the first request they decide.

Compiling is slow beside deciding (0.2 ms for a statement with conditions, 10 µs for a decision), so
it happens when a document is written, and for what was read from the disk between requests.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from itertools import chain

from outcrop.identity import Principal
from outcrop.security.policy.document import Kind, MalformedPolicy, Policy, parse_policy
from outcrop.stores.identities import IdentityDirectory, principal_of
from outcrop.stores.principal_policies import NamedText
from outcrop.stores.role_principals import role_principal

Held = tuple[Kind, NamedText]

_POLICIES = 4096

_STORED_BYTES = 1 << 20
"""Of stored policies, whose length was checked when they came; grants add to a key's."""

_AHEAD = 1024
"""Policies compiled before somebody asks; a deployment with more compiles the others when asked."""

_SLICE_S = 0.002
"""After so long, the loop goes on to requests for at least as long."""

_DELAY_S = 0.2
"""Many changes in a row are looked at once."""


@lru_cache(maxsize=_POLICIES)
def _parsed(text: str, kind: Kind) -> Policy:
    return parse_policy(text, kind, max_bytes=_STORED_BYTES)


@lru_cache(maxsize=2 * _POLICIES)
def compile_policy(text: str, kind: Kind, name: str) -> Policy:
    """A stored policy: it was valid when it was stored."""
    return replace(_parsed(text, kind), name=name)


def read_policy(text: str, kind: Kind, max_bytes: int) -> Policy:
    """A policy on its way in; raises ``MalformedPolicy``. What it compiles to is kept."""
    if len(text.encode(errors="replace")) > max_bytes:
        return parse_policy(text, kind, max_bytes=max_bytes)
    return _parsed(text, kind)


class Precompiler:
    """Compiles, between requests, what users and roles hold, when the directory has changed.

    It has no task: its timers end with the loop that they are set on.
    """

    def __init__(self, directory: IdentityDirectory) -> None:
        self._directory = directory
        self._held: Iterator[Held] | None = None
        self._is_set = False
        directory.listen(self.wake)
        self.wake()

    def wake(self) -> None:
        # What is being walked over has changed: the walk begins anew.
        self._held = None
        if not self._is_set:
            self._set(_DELAY_S)

    def _set(self, delay_s: float) -> None:
        self._is_set = True
        asyncio.get_running_loop().call_later(delay_s, self._work)

    def _work(self) -> None:
        self._is_set = False
        if self._held is None:
            self._held = self._all()
        began = time.monotonic()
        for kind, policy in self._held:
            # One that rules of today would refuse is its principal's concern.
            with suppress(MalformedPolicy):
                compile_policy(policy.text, kind, policy.name)
            taken_s = time.monotonic() - began
            if taken_s > _SLICE_S:
                self._set(taken_s)
                return
            if _parsed.cache_info().currsize >= _AHEAD:
                return

    def _all(self) -> Iterator[Held]:
        for principal in self._principals():
            policies = self._directory.policies_of(principal)
            if policies is None:
                continue
            for policy in policies.identity:
                yield "identity", policy
            for policy in chain(*policies.service_control):
                yield "service-control", policy
            if policies.boundary is not None:
                yield "boundary", policies.boundary

    def _principals(self) -> Iterator[Principal]:
        directory = self._directory
        for account in directory.accounts():
            yield from map(principal_of, directory.users(account.name))
            yield from map(role_principal, directory.roles(account.name))
