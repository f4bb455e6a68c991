"""Accounts that end: nothing of them stays, nothing of others goes."""

import importlib
import pkgutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from in_process import ADMIN, Inside, Keys, running_inside
from running_gateways import ACCOUNT

from outcrop import stores as stores_package
from outcrop.stores.account_removal import HELD, AccountInUse, remove_account
from outcrop.stores.bucket_records import Bucket, bucket_place
from outcrop.stores.resources import Record

OTHER = "210987654321"
# In no account, or with a bucket, which nobody takes along.
ELSEWHERE = {
    *("accounts:closed", "health:event", "iam:service-control-policy", "sns:signing-key"),
    *("s3:bucket", "s3:data-key", "s3:upload"),
    *("capacity:engine-rate", "capacity:reservation", "trail:operator-action"),
    "cloudtrail:signing-key",
}


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Inside]:
    async with running_inside(tmp_path, monkeypatch, OTHER) as inside:
        yield inside


async def _root(inside: Inside, account: str) -> Keys:
    stores = inside.deployment.state.stores
    root = await stores.identities.get_user(account, "root")
    return Keys.of(await stores.keys.create_access_key(root))


async def _fill(inside: Inside) -> Keys:
    root = await _root(inside, OTHER)
    client = inside.client(root)
    key = await client.ask("kms", "CreateKey")
    await client.ask(
        "kms", "CreateAlias", AliasName="alias/a", TargetKeyId=key["KeyMetadata"]["KeyId"]
    )
    await client.ask("secretsmanager", "CreateSecret", Name="s", SecretString="x")
    await client.ask("iam", "CreateUser", UserName="ann")
    await client.ask("iam", "CreateAccessKey", UserName="ann")
    await client.ask("ec2", "DescribeVpcs")
    return root


async def _rows(inside: Inside) -> set[tuple[str, str]]:
    async with inside.deployment.state.stores.resources.reading() as view:
        found = [await view.list(kind, account=OTHER) for kind in HELD]
    return {(item.record.KIND, item.name) for items in found for item in items}


async def test_what_somebody_made_is_in_the_way(inside: Inside) -> None:
    await _fill(inside)
    before = await _rows(inside)
    resources = inside.deployment.state.stores.resources
    with pytest.raises(AccountInUse, match="has 1 users, 1 KMS keys, 1 secrets"):
        await remove_account(resources, OTHER)
    assert await _rows(inside) == before


async def test_by_force_everything_goes_and_its_keys_are_nobody_s(inside: Inside) -> None:
    root = await _fill(inside)
    stores = inside.deployment.state.stores
    await remove_account(stores.resources, OTHER, force=True)
    assert await _rows(inside) == set()
    response = await inside.app.handle(inside.client(root).request("sts", "GetCallerIdentity"))
    assert response.status == 403
    assert stores.directory.find_account(OTHER) is None
    await inside.client(ADMIN).ask("iam", "GetUser", UserName="admin")
    assert stores.directory.find_account(ACCOUNT) is not None


async def test_a_bucket_is_in_the_way_of_force_too(inside: Inside) -> None:
    resources = inside.deployment.state.stores.resources
    async with resources.writing() as transaction:
        await transaction.add(Bucket(account=OTHER, region="us-east-1"), bucket_place("theirs"))
    with pytest.raises(AccountInUse, match="theirs"):
        await remove_account(resources, OTHER, force=True)


def test_every_kind_of_record_is_thought_of() -> None:
    for module in pkgutil.iter_modules(stores_package.__path__):
        importlib.import_module(f"outcrop.stores.{module.name}")
    kinds: set[str] = {
        kind.KIND
        for kind in cast(list[Any], Record.__subclasses__())
        if kind.__module__.startswith("outcrop.")
    }
    assert kinds == {kind.KIND for kind in HELD} | ELSEWHERE
