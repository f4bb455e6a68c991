"""Thousands of made-up calls of the services around Bedrock: none is a failure of the server's
own."""

from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from handler_calls import Calls
from in_process import ADMIN, Client, parse, running_inside, whole

CALLS = 800
SERVICES = (
    *("iam", "sts", "kms", "secretsmanager", "ec2", "health", "s3"),
    *("support", "service-quotas", "bedrock"),
)
# What is not there (501), and an object store that is still starting (503).
OWN_WORDS = (501, 503)


@pytest.mark.parametrize("service", SERVICES)
async def test_no_call_is_a_failure_of_the_servers_own(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, served, failed = Calls(service, seed=3), 0, list[Any]()
    async with running_inside(tmp_path, monkeypatch) as inside:
        client = Client(inside.app, ADMIN)
        for _ in range(CALLS):
            operation, params = calls.next()
            try:
                request = client.request(service, operation, **params)
            except ValueError:
                # botocore itself cannot write it: a control character in a path.
                continue
            response = await inside.app.handle(request)
            body = await whole(response)
            if response.status >= 500 and response.status not in OWN_WORDS:
                failed.append((operation, params, body))
            elif response.status < 300:
                served += 1
                calls.learn(read(service, operation, response.status, response.headers, body))
    assert failed == []
    # Most are refused; enough are not, so that calls meet what others have made.
    assert served >= CALLS / 20


def read(service: str, operation: str, status: int, headers: Any, body: bytes) -> Any:
    try:
        return parse(service, operation, status, headers, body)
    except ClientError as error:
        return pytest.fail(f"{operation}: {error}")
