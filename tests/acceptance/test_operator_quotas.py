"""What an operator gives beside a running server counts there without a restart."""

import json
from typing import Any

from operator_commands import outcrop
from running_gateways import ACCOUNT, Gateway

REGION = "eu-west-3"
"""No other test's."""
QUOTA = "On-demand InvokeModel tokens per minute for Cohere Command R"


def quota(client: Any) -> dict[str, Any]:
    pages = client.get_paginator("list_service_quotas").paginate(ServiceCode="bedrock")
    (found,) = [each for page in pages for each in page["Quotas"] if each["QuotaName"] == QUOTA]
    return found


def becomes(client: Any, code: str, value: float) -> bool:
    """A running server reads what another process wrote within half a second; each call asks."""
    asked = (
        client.get_service_quota(ServiceCode="bedrock", QuotaCode=code)["Quota"]["Value"]
        for _ in range(2000)
    )
    return value in asked


def test_a_request_is_decided_and_a_value_set_beside_the_server(accounts_gateway: Gateway) -> None:
    client = accounts_gateway.client("service-quotas", REGION)
    code = quota(client)["QuotaCode"]
    made = client.request_service_quota_increase(
        ServiceCode="bedrock", QuotaCode=code, DesiredValue=400_000
    )["RequestedQuota"]
    waiting = json.loads(outcrop(accounts_gateway, "quotas", "requests", "--json"))
    assert made["Id"] in {each["id"] for each in waiting if each["status"] == "PENDING"}
    outcrop(accounts_gateway, "quotas", "approve", made["Id"])
    assert becomes(client, code, 400_000.0)
    decided = client.get_requested_service_quota_change(RequestId=made["Id"])["RequestedQuota"]
    assert decided["Status"] == "APPROVED"
    where = ("--account", ACCOUNT, "--region", REGION)
    outcrop(accounts_gateway, "quotas", "set", code, "7", *where)
    assert becomes(client, code, 7.0)
