"""Secrets by what requests call them: a name, an ARN, or an ARN without its random ending."""

from datetime import datetime

from outcrop.stores.resources import Item, Place, Transaction, View
from outcrop.stores.secret_records import Secret, SecretVersion

_ENDING = len("-abcdef")


def read_secret_id(text: str, region: str, account: str) -> tuple[Place, str | None] | None:
    """Where a secret of that name would lie, and the whole ARN if one was given. None where the
    ARN is one of something else."""
    if not text.startswith("arn:"):
        return Place(account, region, text), None
    parts = text.split(":", 6)
    if len(parts) != 7 or parts[2] != "secretsmanager" or parts[5] != "secret":
        return None
    return Place(parts[4], parts[3], parts[6]), text


async def find_secret(view: View, place: Place, arn: str | None) -> Item[Secret] | None:
    if arn is not None:
        found = await view.find_arn(Secret, arn)
        if found is not None:
            return found
    return await view.find(Secret, place)


async def list_versions(view: View, secret: Item[Secret]) -> list[Item[SecretVersion]]:
    versions = await view.list(
        SecretVersion,
        account=secret.place.account,
        region=secret.place.region,
        parent=secret.arn or "",
    )
    return sorted(versions, key=lambda version: (version.created_at, version.name))


def version_place(secret: Item[Secret], version_id: str) -> Place:
    return Place(secret.place.account, secret.place.region, f"{secret.arn}|{version_id}")


async def remove_secret(transaction: Transaction, secret: Item[Secret]) -> None:
    for version in await list_versions(transaction, secret):
        await transaction.remove(SecretVersion, version.place)
    await transaction.remove(Secret, secret.place)


async def remove_due(transaction: Transaction, now: datetime) -> None:
    """Removes every secret whose recovery window has ended."""
    for secret in await transaction.list(Secret):
        if secret.record.deletes_at is not None and secret.record.deletes_at <= now:
            await remove_secret(transaction, secret)
