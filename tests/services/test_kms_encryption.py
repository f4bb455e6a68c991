"""What KMS encrypts: who opens it, with what, and what everyone else is told."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from in_process import ADMIN, Client, running_inside
from kms_requests import make_key, refusal

INVALID = ("InvalidCiphertextException", "")


async def sealed(admin: Client, key: str, context: dict[str, str] | None = None) -> bytes:
    answer = await admin.ask(
        "kms", "Encrypt", KeyId=key, Plaintext=b"secret", EncryptionContext=context or {}
    )
    return answer["CiphertextBlob"]


async def test_the_context_is_needed_to_decrypt_in_any_order(admin: Client) -> None:
    key = await make_key(admin)
    blob = await sealed(admin, key, {"a": "1", "b": "2"})
    opened = await admin.ask(
        "kms", "Decrypt", CiphertextBlob=blob, EncryptionContext={"b": "2", "a": "1"}
    )
    assert (opened["Plaintext"], opened["KeyId"]) == (b"secret", key)
    wrong: list[dict[str, str]] = [{}, {"a": "1"}, {"A": "1", "b": "2"}, {"a": "2", "b": "1"}]
    for context in wrong:
        answer = await refusal(
            admin, "kms", "Decrypt", CiphertextBlob=blob, EncryptionContext=context
        )
        assert answer == INVALID


async def test_another_key_is_the_incorrect_one(admin: Client) -> None:
    first, second = await make_key(admin), await make_key(admin)
    blob = await sealed(admin, first)
    assert await refusal(admin, "kms", "Decrypt", CiphertextBlob=blob, KeyId=second) == (
        "IncorrectKeyException",
        "The key ID in the request does not identify a CMK that can perform this operation.",
    )


async def test_re_encrypted_data_has_another_key_and_context(admin: Client) -> None:
    first, second = await make_key(admin), await make_key(admin)
    blob = await sealed(admin, first, {"a": "1"})
    moved = await admin.ask(
        "kms",
        "ReEncrypt",
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "1"},
        DestinationKeyId=second,
        DestinationEncryptionContext={"b": "2"},
    )
    assert (moved["SourceKeyId"], moved["KeyId"]) == (first, second)
    opened = await admin.ask(
        "kms",
        "Decrypt",
        CiphertextBlob=moved["CiphertextBlob"],
        KeyId=second,
        EncryptionContext={"b": "2"},
    )
    assert opened["Plaintext"] == b"secret"


@pytest.mark.parametrize(
    ("size", "length"),
    [({"KeySpec": "AES_256"}, 32), ({"KeySpec": "AES_128"}, 16), ({"NumberOfBytes": 7}, 7)],
)
async def test_a_data_key_is_given_plain_and_sealed(
    admin: Client, size: dict[str, object], length: int
) -> None:
    key = await make_key(admin)
    made = await admin.ask("kms", "GenerateDataKey", KeyId=key, **size)
    assert len(made["Plaintext"]) == length
    opened = await admin.ask("kms", "Decrypt", CiphertextBlob=made["CiphertextBlob"])
    assert opened["Plaintext"] == made["Plaintext"]
    without = await admin.ask("kms", "GenerateDataKeyWithoutPlaintext", KeyId=key, **size)
    assert "Plaintext" not in without
    opened = await admin.ask("kms", "Decrypt", CiphertextBlob=without["CiphertextBlob"])
    assert len(opened["Plaintext"]) == length


async def test_a_data_key_has_one_size(admin: Client) -> None:
    key = await make_key(admin)
    for size in ({}, {"KeySpec": "AES_256", "NumberOfBytes": 32}):
        code, _ = await refusal(admin, "kms", "GenerateDataKey", KeyId=key, **size)
        assert code == "ValidationException"


async def test_a_dry_run_does_everything_but_the_work(admin: Client) -> None:
    key = await make_key(admin)
    dry = "The request would have succeeded, but the DryRun option is set."
    answer = await refusal(admin, "kms", "Encrypt", KeyId=key, Plaintext=b"x", DryRun=True)
    assert answer == ("DryRunOperationException", dry)
    answer = await refusal(
        admin, "kms", "GenerateDataKey", KeyId=key, KeySpec="AES_256", DryRun=True
    )
    assert answer[0] == "DryRunOperationException"
    await admin.ask("kms", "DisableKey", KeyId=key)
    code, _ = await refusal(admin, "kms", "Encrypt", KeyId=key, Plaintext=b"x", DryRun=True)
    assert code == "DisabledException"


async def test_what_only_other_keys_can_do_is_refused_by_its_name(admin: Client) -> None:
    key = await make_key(admin)
    answer = await refusal(
        admin, "kms", "GenerateMac", KeyId=key, Message=b"x", MacAlgorithm="HMAC_SHA_256"
    )
    assert answer == (
        "InvalidKeyUsageException",
        f"{key} key usage is ENCRYPT_DECRYPT which is not valid for GenerateMac.",
    )
    code, _ = await refusal(admin, "kms", "GetPublicKey", KeyId=key)
    assert code == "UnsupportedOperationException"
    code, _ = await refusal(
        admin, "kms", "Encrypt", KeyId=key, Plaintext=b"x", EncryptionAlgorithm="RSAES_OAEP_SHA_1"
    )
    assert code == "InvalidKeyUsageException"
    code, _ = await refusal(admin, "kms", "Decrypt", CiphertextBlob=b"x", Recipient={})
    assert code == "ValidationException"


async def test_random_bytes_are_as_many_as_asked_for(admin: Client) -> None:
    made = await admin.ask("kms", "GenerateRandom", NumberOfBytes=1024)
    assert len(made["Plaintext"]) == 1024
    code, _ = await refusal(admin, "kms", "GenerateRandom", NumberOfBytes=1025)
    assert code == "ValidationException"


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
async def test_a_changed_ciphertext_is_refused_and_never_an_internal_error(
    admin: Client, data: st.DataObject
) -> None:
    key = await make_key(admin)
    blob = bytearray(await sealed(admin, key))
    position = data.draw(st.integers(0, len(blob) * 8 - 1))
    blob[position // 8] ^= 1 << position % 8
    code, _ = await refusal(admin, "kms", "Decrypt", CiphertextBlob=bytes(blob))
    # A changed owner or key ID names a key that is not there.
    assert code in ("InvalidCiphertextException", "AccessDeniedException")


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(blob=st.binary(min_size=1, max_size=300))
async def test_other_bytes_are_refused_and_never_an_internal_error(
    admin: Client, blob: bytes
) -> None:
    assert await refusal(admin, "kms", "Decrypt", CiphertextBlob=blob) == INVALID


async def test_keys_outlive_the_process_that_made_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as before:
        blob = await sealed(before.client(ADMIN), await make_key(before.client(ADMIN)))
    async with running_inside(tmp_path, monkeypatch) as after:
        opened = await after.client(ADMIN).ask("kms", "Decrypt", CiphertextBlob=blob)
        assert opened["Plaintext"] == b"secret"


async def test_key_material_is_nowhere_in_the_data_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        arn = await make_key(inside.client(ADMIN))
        keyring = inside.deployment.state.stores.keyring
        key = next(iter(keyring.keys(arn.split(":")[4], "us-east-1")))
        material = keyring.material(key, key.record.materials[0])
    held = b"".join(file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file())
    assert len(material) == 32
    assert key.name.encode() in held
    assert material not in held
