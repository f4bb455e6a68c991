"""Clients at a private endpoint: the AWS SDK for JavaScript, which speaks HTTP/2 there."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from running_gateways import Gateway

RunProgram = Callable[[str, Mapping[str, str]], dict[str, Any]]


@pytest.fixture
def endpoint(scripted_gateway: Gateway) -> Iterator[str]:
    """Its address."""
    ec2 = scripted_gateway.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    made = ec2.create_vpc_endpoint(
        VpcEndpointType="Interface",
        ServiceName="com.amazonaws.us-east-1.bedrock-runtime",
        VpcId=subnet["VpcId"],
        SubnetIds=[subnet["SubnetId"]],
        PrivateDnsEnabled=False,
    )["VpcEndpoint"]
    wanted = {"VpcEndpointIds": [made["VpcEndpointId"]]}
    shown = made
    while shown["State"] == "pending":
        (shown,) = ec2.describe_vpc_endpoints(**wanted)["VpcEndpoints"]
    yield f"http://{shown['DnsEntries'][0]['DnsName']}"
    ec2.delete_vpc_endpoints(**wanted)


def test_javascript_sdk_over_http2_at_an_endpoint(
    endpoint: str, scripted_gateway: Gateway, run_node: RunProgram
) -> None:
    places = {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": endpoint,
    }
    result = run_node("endpoint.mjs", scripted_gateway.environment | places)
    assert result["handler"] == "NodeHttp2Handler"
    assert result["text"]
    assert result["events"].count("contentBlockDelta") == 2000
    assert result["events"][-1] == "metadata"
