"""What the directory says of a principal: its policies, its boundary, whether it is still there."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from opened_stores import Opened, open_stores

from outcrop.identity import Principal
from outcrop.security.policy.document import parse_policy
from outcrop.security.policy.evaluate import Layers, Request, Subject, decide
from outcrop.stores.failures import NameTaken, NoSuchItem, StoreError
from outcrop.stores.iam_names import (
    ADMINISTRATOR_ACCESS,
    FULL_ACCESS,
    Noun,
    iam_arn,
    new_access_key_id,
    new_unique_id,
)
from outcrop.stores.iam_records import (
    GroupRecord,
    PolicyRecord,
    PolicyVersion,
    RoleRecord,
    UserRecord,
)
from outcrop.stores.principal_policies import FULL_ACCESS_TEXT, NamedText, PrincipalPolicies
from outcrop.stores.resources import Place, Record
from outcrop.stores.service_control import PolicyInUse, ServiceControlStore

ACCOUNT = "123456789012"
OWN = iam_arn(ACCOUNT, "policy", "own")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
async def user(stores: Opened) -> Principal:
    await stores.identities.create_account("a", ACCOUNT)
    return await stores.identities.create_user(ACCOUNT, "ann")


async def add(stores: Opened, record: Record, name: str, arn: str | None = None) -> None:
    async with stores.resources.writing() as transaction:
        await transaction.add(record, Place(ACCOUNT, "", name), arn=arn)


async def change(stores: Opened, name: str, **fields: Any) -> None:
    async with stores.resources.writing() as transaction:
        item = await transaction.get(UserRecord, Place(ACCOUNT, "", name))
        record = msgspec.structs.replace(item.record, **fields)
        await transaction.put(replace(item, record=record))


def policy(texts: Mapping[str, str], default: str) -> PolicyRecord:
    versions = {name: PolicyVersion(document=text, created_at=NOW) for name, text in texts.items()}
    return PolicyRecord(id=new_unique_id("policy"), versions=versions, default_version=default)


def policies_of(stores: Opened, principal: Principal) -> PrincipalPolicies:
    found = stores.directory.policies_of(principal)
    assert found is not None
    return found


async def test_a_user_has_what_is_attached_what_is_inline_and_its_groups(
    stores: Opened, user: Principal
) -> None:
    await add(stores, policy({"v1": "old", "v2": "text"}, "v2"), "own", OWN)
    await add(stores, GroupRecord(id="g", inline={"in": "group text"}), "staff")
    await change(
        stores,
        "ann",
        attached=(ADMINISTRATOR_ACCESS, OWN),
        inline={"mine": "inline text"},
        groups=("staff",),
        boundary=OWN,
    )
    found = policies_of(stores, user)
    assert found.identity == (
        NamedText(ADMINISTRATOR_ACCESS, FULL_ACCESS_TEXT),
        NamedText(OWN, "text"),
        NamedText("mine", "inline text"),
        NamedText("in", "group text"),
    )
    assert found.boundary == NamedText(OWN, "text")


async def test_a_change_moves_the_version_and_is_seen_at_once(
    stores: Opened, user: Principal
) -> None:
    before = stores.directory.version
    assert policies_of(stores, user).identity == ()
    await change(stores, "ann", inline={"a": "b"})
    assert stores.directory.version > before
    assert policies_of(stores, user).identity == (NamedText("a", "b"),)


async def test_a_boundary_whose_policy_is_gone_allows_nothing(
    stores: Opened, user: Principal
) -> None:
    await change(stores, "ann", boundary=OWN)
    boundary = policies_of(stores, user).boundary
    assert boundary is not None
    everything = parse_policy(FULL_ACCESS_TEXT, "identity")
    layers = Layers(identity=(everything,), boundary=parse_policy(boundary.text, "boundary"))
    request = Request(Subject(user.arn, ACCOUNT, "user"), "iam:GetUser", "*", None, {})
    assert decide(request, layers).layer == "boundary"


async def test_a_session_of_a_role_has_the_roles_policies(stores: Opened, user: Principal) -> None:
    arn = iam_arn(ACCOUNT, "role", "worker", "/jobs/")
    record = RoleRecord(id=new_unique_id("role"), trust="{}", inline={"a": "b"})
    await add(stores, record, "worker", arn)
    session = Principal(
        ACCOUNT,
        "s",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/worker/s",
        "role",
        f"{record.id}:s",
        arn,
    )
    assert policies_of(stores, session).identity == (NamedText("a", "b"),)
    found = stores.directory.find_role_arn(arn)
    assert found is not None
    assert found == stores.directory.find_role(ACCOUNT, "worker")
    assert stores.directory.policies_of(replace(session, id="AROAOTHER:s")) is None
    assert not stores.directory.is_current(replace(session, role_arn=None))


async def test_a_user_who_was_deleted_and_made_again_is_another_one(
    stores: Opened, user: Principal
) -> None:
    key = await stores.keys.create_access_key(user)
    async with stores.resources.writing() as transaction:
        await transaction.remove(UserRecord, Place(ACCOUNT, "", "ann"))
    assert stores.directory.policies_of(user) is None
    assert stores.directory.find_access_key(key.id) is None
    again = await stores.identities.create_user(ACCOUNT, "ann")
    assert stores.directory.policies_of(user) is None
    assert stores.directory.is_current(again)


async def test_root_has_no_policies_and_is_no_user(stores: Opened, user: Principal) -> None:
    root = await stores.identities.get_user(ACCOUNT, "root")
    assert (root.kind, root.id) == ("root", ACCOUNT)
    assert policies_of(stores, root) == PrincipalPolicies((), None, {}, ())
    assert stores.directory.find_user(ACCOUNT, "root") is None
    assert [item.name for item in stores.directory.users(ACCOUNT)] == ["ann"]


async def test_service_control_bounds_an_account_when_more_than_full_access_is_attached(
    stores: Opened, user: Principal
) -> None:
    policies = ServiceControlStore(stores.resources)
    await policies.create("no-s3", "deny text")
    await policies.attach("no-s3", ACCOUNT)
    full = NamedText(FULL_ACCESS, FULL_ACCESS_TEXT)
    deny = NamedText("no-s3", "deny text")
    assert policies_of(stores, user).service_control == ((full, deny),)
    await policies.detach(FULL_ACCESS, ACCOUNT)
    assert policies_of(stores, user).service_control == ((deny,),)
    with pytest.raises(PolicyInUse, match="the last one of account"):
        await policies.detach("no-s3", ACCOUNT)
    with pytest.raises(PolicyInUse, match=f"attached to {ACCOUNT}"):
        await policies.delete("no-s3")
    other = await stores.identities.create_account("b")
    root = await stores.identities.get_user(other, "root")
    assert policies_of(stores, root).service_control == ()
    assert await policies.list() == {FULL_ACCESS: [other], "no-s3": [ACCOUNT]}


async def test_an_account_has_five_service_control_policies_at_most(
    stores: Opened, user: Principal
) -> None:
    policies = ServiceControlStore(stores.resources)
    for index in range(5):
        await policies.create(f"p{index}", "text")
    for index in range(4):
        await policies.attach(f"p{index}", ACCOUNT)
    await policies.attach("p0", ACCOUNT)
    with pytest.raises(StoreError, match="at most 5"):
        await policies.attach("p4", ACCOUNT)
    with pytest.raises(NoSuchItem, match="no service control policy 'other'"):
        await policies.attach("other", ACCOUNT)
    with pytest.raises(NoSuchItem, match="no account 000000000000"):
        await policies.attach("p4", "000000000000")
    with pytest.raises(NameTaken):
        await policies.create(FULL_ACCESS, "text")


async def test_a_renamed_user_keeps_keys_under_the_new_name(
    stores: Opened, user: Principal
) -> None:
    key = await stores.keys.create_access_key(user)
    async with stores.resources.writing() as transaction:
        item = await transaction.get(UserRecord, Place(ACCOUNT, "", "ann"))
        await transaction.rename(item, "eve", arn=iam_arn(ACCOUNT, "user", "eve"))
        for kept in stores.directory.access_keys_of(ACCOUNT, "ann"):
            await transaction.put(replace(kept, parent="eve"))
    found = stores.directory.find_access_key(key.id)
    assert found is not None
    assert (found.principal.name, found.principal.id) == ("eve", user.id)
    assert stores.directory.find_user(ACCOUNT, "ann") is None


async def test_what_changes_followed_is_what_a_new_reading_finds(
    stores: Opened, user: Principal
) -> None:
    await add(stores, policy({"v1": "text"}, "v1"), "own", OWN)
    await change(stores, "ann", attached=(OWN,))
    keys = [await stores.keys.create_access_key(user) for _ in range(3)]
    await stores.keys.delete(ACCOUNT, keys[0].id)
    other = await open_stores(stores.file)
    assert other.directory.policies_of(user) == policies_of(stores, user)
    found = [each.directory.list_access_keys(ACCOUNT) for each in (other, stores)]
    assert found[0] == found[1] == keys[1:]
    await other.database.close()


@pytest.mark.parametrize(
    ("noun", "prefix"),
    [("user", "AIDA"), ("role", "AROA"), ("group", "AGPA"), ("policy", "ANPA")],
)
def test_unique_ids_have_the_form_of_aws(noun: Noun, prefix: str) -> None:
    made = new_unique_id(noun)
    assert made.startswith(prefix)
    assert len(made) == 21
    assert len(new_access_key_id()) == 20
