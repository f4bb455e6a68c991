"""Operations that Outcrop's own services ask for when no request is there to ask for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from outcrop.authorization.access import Access
from outcrop.identity import Caller
from outcrop.stores.network_records import NetworkInterface, VpcEndpoint
from outcrop.stores.resources import Item

if TYPE_CHECKING:
    # A call has what needs a Background.
    from outcrop.services.call import RawAnswer


@dataclass(frozen=True, slots=True)
class VpcPath:
    """From a network interface through a VPC endpoint: the endpoint's policy decides too,
    conditions see the endpoint and the interface's address, and flow logs what is carried."""

    interface: Item[NetworkInterface]
    endpoint: Item[VpcEndpoint]


class Background(Protocol):
    async def perform(
        self,
        caller: Caller,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        *,
        body: bytes = b"",
        path: VpcPath | None = None,
    ) -> Mapping[str, Any]:
        """Authorized like a request, and in the trail like one; raises AWS's errors. ``caller`` is
        a service (``service_callers.service_caller``) or has a role that was passed to one
        (``service_roles.assume``). It happens in the caller's region, of S3 in the bucket's.
        ``body`` is what S3 is to keep. An operation whose answer is streamed is for ``fetch``."""
        ...

    async def fetch(
        self,
        caller: Caller,
        service: str,
        operation: str,
        params: Mapping[str, Any],
        *,
        path: VpcPath | None = None,
    ) -> "RawAnswer":
        """The same for what is answered piece by piece, as objects of S3 are. Its body must be
        read to its end or closed."""
        ...

    async def may(self, caller: Caller, access: Access, *, path: VpcPath | None = None) -> bool:
        """Whether ``caller`` may, for what is no operation of ours: asks nothing else."""
        ...
