"""Network interfaces that AWS services use by a permission that their account gave: while one is
attached, nobody deletes it."""

from dataclasses import replace

import msgspec

from outcrop.stores.network_records import InterfacePermission, NetworkInterface, new_id
from outcrop.stores.resources import Item, Transaction, View

INSTANCE_ATTACH = "INSTANCE-ATTACH"


class NotPermitted(Exception):
    """The interface's account gave the service no permission to attach it, or took it back."""


async def find_permission(
    view: View, interface: Item[NetworkInterface], service: str
) -> Item[InterfacePermission] | None:
    permissions = await view.list(
        InterfacePermission,
        account=interface.place.account,
        region=interface.place.region,
        parent=interface.name,
    )
    return next(
        (
            each
            for each in permissions
            if (each.record.service, each.record.permission) == (service, INSTANCE_ATTACH)
        ),
        None,
    )


async def attach(
    transaction: Transaction, interface: Item[NetworkInterface], service: str
) -> Item[NetworkInterface]:
    """As it is then. Raises ``NotPermitted``."""
    if await find_permission(transaction, interface, service) is None:
        raise NotPermitted(f"{interface.name} may not be attached by {service}.")
    if interface.record.attachment is not None:
        return interface
    return await _put(transaction, interface, new_id("eni-attach"))


async def detach(transaction: Transaction, interface: Item[NetworkInterface]) -> None:
    if interface.record.attachment is not None:
        await _put(transaction, interface, None)


async def _put(
    transaction: Transaction, interface: Item[NetworkInterface], attachment: str | None
) -> Item[NetworkInterface]:
    record = msgspec.structs.replace(interface.record, attachment=attachment)
    return await transaction.put(replace(interface, record=record))
