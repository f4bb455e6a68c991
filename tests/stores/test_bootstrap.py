"""The first start, presets, and every start after it."""

import pytest
from opened_stores import Opened

from outcrop.stores.bootstrap import Foundation, PresetError, lay_foundation, read_presets
from outcrop.stores.iam_names import ADMINISTRATOR_ACCESS
from outcrop.stores.iam_records import UserRecord
from outcrop.stores.resources import Place

ADMIN = {
    "OUTCROP_ACCESS_KEY_ID": "AKIAADMINADMINADMIN1",
    "OUTCROP_SECRET_ACCESS_KEY": "admin/secret/0123456789",
}
ROOT = {
    "OUTCROP_ROOT_ACCESS_KEY_ID": "AKIAROOTROOTROOTROO1",
    "OUTCROP_ROOT_SECRET_ACCESS_KEY": "root/secret/0123456789",
}


async def start(stores: Opened, environment: dict[str, str]) -> Foundation:
    return await lay_foundation(
        stores.identities, stores.keys, stores.directory, read_presets(environment)
    )


async def test_the_first_start_makes_an_administrator_with_a_key(stores: Opened) -> None:
    made = await start(stores, {})
    assert made.is_new
    assert made.key is not None
    assert made.key.principal.arn == f"arn:aws:iam::{made.account}:user/admin"
    users = await stores.identities.list_users(made.account)
    assert [user.name for user in users] == ["admin", "root"]


async def test_a_later_start_changes_nothing(stores: Opened) -> None:
    first = await start(stores, {})
    second = await start(stores, {})
    assert (second.account, second.key, second.is_new) == (first.account, first.key, False)
    assert len(stores.directory.list_access_keys(first.account)) == 1


async def test_a_deleted_key_does_not_come_back(stores: Opened) -> None:
    first = await start(stores, {})
    assert first.key is not None
    await stores.keys.delete(first.account, first.key.id)
    assert (await start(stores, {})).key is None


async def test_the_first_administrator_may_do_everything(stores: Opened) -> None:
    made = await start(stores, {})
    admin = stores.directory.find_user(made.account, "admin")
    assert admin is not None
    assert admin.record.attached == (ADMINISTRATOR_ACCESS,)


async def test_a_deleted_administrator_does_not_come_back_while_others_can_get_in(
    stores: Opened,
) -> None:
    made = await start(stores, {})
    assert made.key is not None
    root = await stores.identities.get_user(made.account, "root")
    await stores.keys.create_access_key(root)
    await stores.keys.delete(made.account, made.key.id)
    async with stores.resources.writing() as transaction:
        await transaction.remove(UserRecord, Place(made.account, "", "admin"))
    again = await start(stores, {})
    assert again.key is not None
    assert again.key.principal == root
    assert stores.directory.find_user(made.account, "admin") is None


async def test_preset_values_are_taken(stores: Opened) -> None:
    made = await start(stores, {"OUTCROP_ACCOUNT_ID": "000000000001", **ROOT, **ADMIN})
    assert made.account == "000000000001"
    assert made.key is not None
    assert (made.key.id, made.key.secret) == tuple(ADMIN.values())
    root = stores.keys.get_access_key(made.account, ROOT["OUTCROP_ROOT_ACCESS_KEY_ID"])
    assert root.principal.kind == "root"
    assert len(stores.directory.list_access_keys(made.account)) == 2


async def test_a_preset_root_key_stands_alone(stores: Opened) -> None:
    made = await start(stores, ROOT)
    assert made.key is not None
    assert made.key.principal.kind == "root"
    assert len(stores.directory.list_access_keys(made.account)) == 1


async def test_a_changed_preset_secret_is_the_keys_new_secret(stores: Opened) -> None:
    await start(stores, ADMIN)
    made = await start(stores, {**ADMIN, "OUTCROP_SECRET_ACCESS_KEY": "another/secret/0123"})
    assert made.key is not None
    assert made.key.secret == "another/secret/0123"


async def test_another_account_is_refused(stores: Opened) -> None:
    await start(stores, {"OUTCROP_ACCOUNT_ID": "000000000001"})
    with pytest.raises(PresetError, match="belongs to account 000000000001"):
        await start(stores, {"OUTCROP_ACCOUNT_ID": "000000000002"})


async def test_a_key_of_another_user_is_refused(stores: Opened) -> None:
    await start(stores, ADMIN)
    root = dict(zip(ROOT, ADMIN.values(), strict=True))
    with pytest.raises(PresetError, match="belongs to"):
        await start(stores, root)


@pytest.mark.parametrize(
    "environment",
    [
        {"OUTCROP_ACCOUNT_ID": "12345"},
        {"OUTCROP_ACCOUNT_ID": "12345678901\uff12"},
        {"OUTCROP_ACCESS_KEY_ID": ADMIN["OUTCROP_ACCESS_KEY_ID"]},
        {**ADMIN, "OUTCROP_ACCESS_KEY_ID": "short"},
        {**ADMIN, "OUTCROP_ACCESS_KEY_ID": "AKIA/with/slashes/in"},
        {**ADMIN, "OUTCROP_SECRET_ACCESS_KEY": "short"},
        {**ADMIN, "OUTCROP_SECRET_ACCESS_KEY": "with a space in it 0123"},
        {**ADMIN, **dict(zip(ROOT, ADMIN.values(), strict=True))},
    ],
)
def test_a_wrong_preset_is_refused_without_showing_a_secret(environment: dict[str, str]) -> None:
    with pytest.raises(PresetError, match="OUTCROP_") as caught:
        read_presets(environment)
    assert "with a space" not in str(caught.value)
