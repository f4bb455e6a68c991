"""ListSecrets: filtered and sorted. A value that begins with ``!`` excludes what it matches."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from outcrop.errors import ServiceError, ValidationException
from outcrop.services.call import Call
from outcrop.services.operation import operation
from outcrop.services.secretsmanager.references import sweep
from outcrop.services.secretsmanager.secrets import describe
from outcrop.services.secretsmanager.stages import labels_by_version
from outcrop.stores.resources import Item
from outcrop.stores.secret_records import Secret
from outcrop.wire.paging import page

Texts = Callable[[Item[Secret]], list[str]]


@operation
async def list_secrets(call: Call, params: Mapping[str, Any]) -> dict[str, Any]:
    await sweep(call)
    async with call.stores.resources.reading() as view:
        listed = await view.list(Secret, account=call.account, region=call.region)
    found = [
        secret
        for secret in listed
        if (params.get("IncludePlannedDeletion") or secret.record.deletes_at is None)
        and all(_passes(secret, filter) for filter in params.get("Filters", ()))
    ]
    _sort(found, params)
    try:
        return page(call.operation, params, [_entry(secret) for secret in found])
    except ValidationException as error:
        raise ServiceError("InvalidNextTokenException", error.message) from error


def _entry(secret: Item[Secret]) -> dict[str, Any]:
    stages, described = labels_by_version(secret), describe(secret)
    return {**described, "SecretVersionsToStages": stages} if stages else described


_TEXTS: Mapping[str, Texts] = {
    "name": lambda secret: [secret.name],
    "description": lambda secret: [secret.record.description],
    "tag-key": lambda secret: list(secret.tags),
    "tag-value": lambda secret: list(secret.tags.values()),
    "primary-region": lambda _secret: [],
    "owning-service": lambda _secret: [],
}


def _passes(secret: Item[Secret], filter: Mapping[str, Any]) -> bool:
    """Any of the values; those that exclude must all do so."""
    values: Sequence[str] = filter.get("Values", ())
    wanted = [value for value in values if not value.startswith("!")]
    unwanted = [value[1:] for value in values if value.startswith("!")]
    key = filter.get("Key", "all")
    if any(_matches(secret, key, value) for value in unwanted):
        return False
    return not wanted or any(_matches(secret, key, value) for value in wanted)


def _matches(secret: Item[Secret], key: str, value: str) -> bool:
    if key == "all":
        # Every word of the value, anywhere, in any case.
        texts = [text.lower() for read in _TEXTS.values() for text in read(secret)]
        return all(any(word in text for text in texts) for word in value.lower().split())
    if key == "description":
        return any(text.lower().startswith(value.lower()) for text in _words(secret))
    return any(text.startswith(value) for text in _TEXTS[key](secret))


def _words(secret: Item[Secret]) -> list[str]:
    return [secret.record.description, *secret.record.description.split()]


def _sort(secrets: list[Item[Secret]], params: Mapping[str, Any]) -> None:
    def moment(secret: Item[Secret]) -> tuple[Any, str]:
        record = secret.record
        times = {
            "last-accessed-date": record.accessed_on or secret.created_at,
            "last-changed-date": record.changed_at or secret.created_at,
        }
        return times.get(params.get("SortBy", ""), secret.created_at), secret.name

    descending = params.get("SortOrder", "desc") == "desc"
    if params.get("SortBy") == "name":
        secrets.sort(key=lambda secret: secret.name, reverse=descending)
    else:
        secrets.sort(key=moment, reverse=descending)
