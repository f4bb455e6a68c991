"""KMS and Secrets Manager by unmodified clients of a running gateway, and across its death."""

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from running_gateways import SCRIPTED, Gateway, start_gateway

AWS = Path(sys.executable).with_name("aws")


def aws(gateway: Gateway, *arguments: str) -> Any:
    done = subprocess.run(
        [str(AWS), *arguments, "--output", "json"],
        env=gateway.environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout) if done.stdout.strip() else None


def test_the_command_line_encrypts_and_decrypts(scripted_gateway: Gateway, tmp_path: Path) -> None:
    made = aws(scripted_gateway, "kms", "create-key", "--description", "from the command line")
    key = made["KeyMetadata"]["KeyId"]
    aws(
        scripted_gateway, "kms", "create-alias", "--alias-name", "alias/cli", "--target-key-id", key
    )
    plain, sealed = tmp_path / "plain", tmp_path / "sealed"
    plain.write_bytes(b"hello")
    context = ("--encryption-context", "purpose=test")
    encrypt = ("kms", "encrypt", "--key-id", "alias/cli", "--plaintext", f"fileb://{plain}")
    answer = aws(scripted_gateway, *encrypt, *context)
    sealed.write_bytes(base64.b64decode(answer["CiphertextBlob"]))
    opened = aws(
        scripted_gateway, "kms", "decrypt", "--ciphertext-blob", f"fileb://{sealed}", *context
    )
    assert base64.b64decode(opened["Plaintext"]) == b"hello"


def test_the_command_line_keeps_and_reads_a_secret(scripted_gateway: Gateway) -> None:
    create = ("secretsmanager", "create-secret", "--name", "cli", "--secret-string", "one")
    arn = aws(scripted_gateway, *create)["ARN"]
    put = ("secretsmanager", "put-secret-value", "--secret-id", "cli", "--secret-string", "two")
    aws(scripted_gateway, *put)
    read = ("secretsmanager", "get-secret-value", "--secret-id", arn)
    assert aws(scripted_gateway, *read)["SecretString"] == "two"
    delete = ("secretsmanager", "delete-secret", "--secret-id", "cli")
    assert aws(scripted_gateway, *delete, "--force-delete-without-recovery")["ARN"] == arn


def test_boto3_s_paginators_and_exceptions_work(scripted_gateway: Gateway) -> None:
    kms = scripted_gateway.client("kms")
    made = {kms.create_key()["KeyMetadata"]["KeyId"] for _ in range(3)}
    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 1})
    assert made <= {key["KeyId"] for page in pages for key in page["Keys"]}
    with pytest.raises(kms.exceptions.NotFoundException):
        kms.describe_key(KeyId="alias/none")
    secrets = scripted_gateway.client("secretsmanager")
    with pytest.raises(secrets.exceptions.ResourceNotFoundException):
        secrets.get_secret_value(SecretId="none")


def test_an_acknowledged_secret_outlives_the_death_of_the_server(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        secrets, kms = gateway.client("secretsmanager"), gateway.client("kms")
        key = kms.create_key()["KeyMetadata"]["Arn"]
        secrets.create_secret(Name="db", SecretString="one", KmsKeyId=key)
        secrets.put_secret_value(SecretId="db", SecretString="two")
    finally:
        gateway.process.send_signal(signal.SIGKILL)
        gateway.process.wait(timeout=60)
    gateway = start_gateway(tmp_path, SCRIPTED)
    try:
        secrets = gateway.client("secretsmanager")
        assert secrets.get_secret_value(SecretId="db")["SecretString"] == "two"
        previous = secrets.get_secret_value(SecretId="db", VersionStage="AWSPREVIOUS")
        assert previous["SecretString"] == "one"
    finally:
        gateway.stop()
