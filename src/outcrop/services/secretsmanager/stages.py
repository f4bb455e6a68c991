"""Staging labels: each is on one version at a time; AWSPREVIOUS follows AWSCURRENT.

A secret keeps them as the version's ID by label, so that a label is read without the versions.
"""

from collections.abc import Collection, Mapping, Sequence

from outcrop.stores.resources import Item, Transaction
from outcrop.stores.secret_records import Secret, SecretVersion

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_VERSIONS = 100


def labels_of(secret: Item[Secret], version_id: str) -> list[str]:
    return [label for label, holder in secret.record.stages.items() if holder == version_id]


def labels_by_version(secret: Item[Secret]) -> dict[str, list[str]]:
    labels: dict[str, list[str]] = {}
    for label, version_id in secret.record.stages.items():
        labels.setdefault(version_id, []).append(label)
    return labels


def moved(stages: Mapping[str, str], labels: Collection[str], target: str) -> dict[str, str]:
    """``stages`` once ``target`` has ``labels``."""
    changes = dict.fromkeys(labels, target)
    if CURRENT in changes and stages.get(CURRENT, target) != target:
        changes[PREVIOUS] = stages[CURRENT]
    kept = {label: holder for label, holder in stages.items() if label not in changes}
    return kept | changes


async def drop_deprecated(
    transaction: Transaction, secret: Item[Secret], versions: Sequence[Item[SecretVersion]]
) -> None:
    """The oldest versions without a label go once there are more than can be kept."""
    labelled = set(secret.record.stages.values())
    unlabelled = [version for version in versions if version.record.id not in labelled]
    surplus = len(versions) - MAX_VERSIONS
    for version in unlabelled[: max(surplus, 0)]:
        await transaction.remove(SecretVersion, version.place)
