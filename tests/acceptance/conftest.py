"""``account`` and ``other`` are two accounts of one gateway of these tests' own."""

import json
from collections.abc import Iterator

import pytest
from operator_commands import outcrop
from principals import Account, Person
from running_gateways import ACCESS_KEY, ACCOUNT, SCRIPTED, SECRET_KEY, Gateway, start_gateway
from statements import OTHER


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
