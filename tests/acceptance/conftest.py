"""``account`` and ``other`` are two accounts of one gateway of these tests' own."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from principals import Account, Person
from running_gateways import ACCESS_KEY, ACCOUNT, SCRIPTED, SECRET_KEY, Gateway, start_gateway

OTHER = "210987654321"


def outcrop(gateway: Gateway, *arguments: str) -> str:
    """A command of the operator's on the gateway's data directory."""
    done = subprocess.run(
        [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)],
        env={name: value for name, value in os.environ.items() if "AWS" not in name},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture(scope="session")
def accounts_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("accounts"), SCRIPTED)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="session")
def account(accounts_gateway: Gateway) -> Account:
    arn = f"arn:aws:iam::{ACCOUNT}:user/admin"
    return Account(ACCOUNT, Person(accounts_gateway, "admin", arn, ACCESS_KEY, SECRET_KEY))


@pytest.fixture(scope="session")
def other(accounts_gateway: Gateway) -> Account:
    """Its administrator is its root user."""
    made = json.loads(
        outcrop(accounts_gateway, "accounts", "create", "other", "--id", OTHER, "--json")
    )
    root = Person(
        accounts_gateway,
        "root",
        f"arn:aws:iam::{OTHER}:root",
        made["AWS_ACCESS_KEY_ID"],
        made["AWS_SECRET_ACCESS_KEY"],
    )
    # A running server reads what another process wrote within a second; each request asks.
    known = (root.refusal("sts:get_caller_identity") == "" for _ in range(2000))
    assert any(known)
    return Account(OTHER, root)
