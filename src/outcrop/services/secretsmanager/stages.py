"""Staging labels: each is on one version at a time; AWSPREVIOUS follows AWSCURRENT."""

from collections.abc import Collection, Iterable
from dataclasses import replace

import msgspec

from outcrop.stores.resources import Item, Transaction
from outcrop.stores.secret_records import SecretVersion

CURRENT = "AWSCURRENT"
PREVIOUS = "AWSPREVIOUS"
MAX_VERSIONS = 100


def find_staged(versions: Iterable[Item[SecretVersion]], stage: str) -> Item[SecretVersion] | None:
    return next((version for version in versions if stage in version.record.stages), None)


def moved(
    versions: Iterable[Item[SecretVersion]], stages: Collection[str], target: str
) -> dict[str, tuple[str, ...]]:
    """The labels of every version, by ID, once ``target`` has ``stages``."""
    labels = {version.record.id: list(version.record.stages) for version in versions}
    labels.setdefault(target, [])
    holder = next((id for id, own in labels.items() if CURRENT in own), None)
    changes = dict.fromkeys(stages, target)
    if CURRENT in changes and holder is not None and holder != target:
        changes[PREVIOUS] = holder
    for stage, to in changes.items():
        for own in labels.values():
            if stage in own:
                own.remove(stage)
        labels[to].append(stage)
    return {id: tuple(own) for id, own in labels.items()}


async def put_labels(
    transaction: Transaction,
    versions: Iterable[Item[SecretVersion]],
    labels: dict[str, tuple[str, ...]],
) -> None:
    for version in versions:
        stages = labels[version.record.id]
        if stages != version.record.stages:
            record = msgspec.structs.replace(version.record, stages=stages)
            await transaction.put(replace(version, record=record))


async def drop_deprecated(
    transaction: Transaction,
    versions: Iterable[Item[SecretVersion]],
    labels: dict[str, tuple[str, ...]],
) -> None:
    """The oldest versions without a label go once there are more than can be kept."""
    unlabelled = [version for version in versions if not labels[version.record.id]]
    surplus = len(labels) - MAX_VERSIONS
    for version in unlabelled[: max(surplus, 0)]:
        await transaction.remove(SecretVersion, version.place)
