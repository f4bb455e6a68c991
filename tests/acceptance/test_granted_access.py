"""A deployment as it begins, and an operator who grants access while it runs."""

import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError
from running_gateways import ACCOUNT, SCRIPTED, Gateway, start_gateway

TITAN = "amazon.titan-text-express-v1"
NO_ACCESS = "You don't have access to the model with the specified model ID."
NOTICED_S = 10.0
"""Half a second, on a machine with nothing else to do."""


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("access")
    gateway = start_gateway(folder, SCRIPTED, variables={"OUTCROP_ACCESS_DEFAULT": "none"})
    yield gateway
    gateway.stop()


def outcrop(gateway: Gateway, *arguments: str) -> str:
    command = [sys.executable, "-m", "outcrop", *arguments, "--data-dir", str(gateway.data_dir)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=gateway.environment
    )
    return done.stdout


def is_served(client: Any) -> bool:
    message = {"role": "user", "content": [{"text": "Hello"}]}
    try:
        client.converse(modelId=TITAN, messages=[message])
    except ClientError as error:
        if "(AccessDeniedException)" in str(error) and NO_ACCESS in str(error):
            return False
        raise
    return True


def wait_until_served(client: Any, wanted: bool) -> None:
    deadline = time.monotonic() + NOTICED_S
    while is_served(client) != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_tells_how_to_grant_access(begun: Gateway) -> None:
    log = (begun.data_dir.parent / "server.log").read_text(encoding="utf-8")
    assert f"Account {ACCOUNT} may use no model yet." in log
    assert f"outcrop access grant --all --account {ACCOUNT} --data-dir {begun.data_dir}" in log


def test_what_an_operator_grants_a_running_server_goes_by(begun: Gateway) -> None:
    here, there = (begun.client("bedrock-runtime", region) for region in ("us-east-1", "eu-west-1"))
    assert not is_served(here)
    outcrop(begun, "access", "grant", "--all")
    wait_until_served(here, wanted=True)
    assert not is_served(there)
    outcrop(begun, "access", "revoke", TITAN)
    wait_until_served(here, wanted=False)


def test_the_terms_of_an_offer_are_read_without_signing(begun: Gateway) -> None:
    bedrock = begun.client("bedrock")
    listed = bedrock.list_foundation_model_agreement_offers(modelId="anthropic.claude-v2")
    url = str(listed["offers"][0]["termDetails"]["legalTerm"]["url"])
    assert url == f"{begun.url}/_outcrop/eula/anthropic"
    connection = HTTPConnection(urlsplit(begun.url).netloc, timeout=30)
    connection.request("GET", urlsplit(url).path)
    assert b"models of Anthropic" in connection.getresponse().read()
    connection.close()


def test_a_server_that_may_serve_gives_no_such_hint(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, SCRIPTED)
    gateway.stop()
    assert "access grant" not in (tmp_path / "server.log").read_text(encoding="utf-8")
