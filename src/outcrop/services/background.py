"""Operations that Outcrop's own services ask for when no request is there to ask for them."""

from collections.abc import Mapping
from typing import Any, Protocol

from outcrop.authorization.access import Access
from outcrop.identity import Caller


class Background(Protocol):
    async def perform(
        self,
        caller: Caller,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        *,
        body: bytes = b"",
    ) -> Mapping[str, Any]:
        """Authorized like a request, and in the trail like one; raises AWS's errors. ``caller`` is
        a service (``service_callers.service_caller``) or has a role that was passed to one
        (``service_roles.assume``). It happens in the caller's region, of S3 in the bucket's.
        ``body`` is what S3 is to keep."""
        ...

    async def may(self, caller: Caller, access: Access) -> bool:
        """Whether ``caller`` may, for what is no operation of ours: asks nothing else."""
        ...
