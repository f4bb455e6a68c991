"""Private endpoints as clients meet them: an address of its own, whose policy decides, in a gateway
that is killed and started again."""

import gzip
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, HTTPClientError
from running_gateways import SCRIPTED, Gateway, start_gateway

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"
ZONES = '[zones]\na = ["script"]\nb = []\n' + SCRIPTED
RUNTIME = "com.amazonaws.us-east-1.bedrock-runtime"
CLAUDE = "anthropic.claude-v2"
SONNET = "anthropic.claude-3-5-sonnet-20240620-v1:0"
CLAIMS = (
    *("x-amzn-vpce-id", "x-vpce-id", "x-amz-source-vpce", "aws-sourcevpce", "source-vpce"),
    *("x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"),
)
COUNTED = {"converse": {"messages": [{"role": "user", "content": [{"text": "hi"}]}]}}
BODY = json.dumps({"prompt": "\n\nHuman: hi\n\nAssistant:", "max_tokens_to_sample": 8})


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    gateway = start_gateway(tmp_path_factory.mktemp("endpoints"), ZONES)
    yield gateway
    gateway.stop()


@pytest.fixture(scope="module")
def ec2(gateway: Gateway) -> Any:
    return gateway.client("ec2")


def settled(ec2: Any, endpoint_id: str, state: str = "available") -> dict[str, Any]:
    """Asks until the state is there; a client's own limit ends the test otherwise."""
    for _ in range(2000):
        (shown,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])["VpcEndpoints"]
        if shown["State"] == state:
            return shown
        assert shown["State"] == "pending"
    pytest.fail(f"{endpoint_id} did not become {state}")


def made(ec2: Any, **params: Any) -> dict[str, Any]:
    """An interface endpoint of the default VPC, or another one, when it is available."""
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    asked = {"VpcId": vpc["VpcId"], "ServiceName": RUNTIME, **params}
    if asked["ServiceName"].endswith("s3"):
        return settled(ec2, ec2.create_vpc_endpoint(**asked)["VpcEndpoint"]["VpcEndpointId"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])
    asked.setdefault("SubnetIds", [subnets["Subnets"][0]["SubnetId"]])
    asked.setdefault("PrivateDnsEnabled", False)
    created = ec2.create_vpc_endpoint(VpcEndpointType="Interface", **asked)["VpcEndpoint"]
    assert created["State"] == "pending"
    return settled(ec2, created["VpcEndpointId"])


def through(gateway: Gateway, endpoint: dict[str, Any]) -> Gateway:
    return replace(gateway, url=f"http://{endpoint['DnsEntries'][0]['DnsName']}")


def invoke(gateway: Gateway, **client: Any) -> bytes:
    runtime = gateway.client("bedrock-runtime", **client)
    return runtime.invoke_model(modelId=CLAUDE, body=BODY)["body"].read()


def add_header(client: Any, name: str, value: str) -> None:
    """To all its requests from now on; a ``Host`` says whom they are written for, wherever they are
    sent."""

    def add(request: Any, **_: Any) -> None:
        request.headers.add_header(name, value)

    client.meta.events.register("before-sign", add)


def code_of(error: pytest.ExceptionInfo[ClientError]) -> str:
    answer: Any = error.value.response
    return answer["Error"]["Code"]


@pytest.mark.parametrize("region", ["us-east-1", "region"])
def test_the_zones_of_an_endpoint_service_are_listed(region: str, gateway: Gateway) -> None:
    name = f"com.amazonaws.{region}.bedrock-runtime"
    shown = gateway.client("ec2", region).describe_vpc_endpoint_services(ServiceNames=[name])
    (details,) = shown["ServiceDetails"]
    assert shown["ServiceNames"] == [name]
    assert details["AvailabilityZones"] == [f"{region}a", f"{region}b"]


def test_zones_are_those_of_the_configuration(ec2: Any) -> None:
    zones = ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneId"] for zone in zones] == ["use1-az1", "use1-az2"]
    subnets = ec2.describe_subnets()["Subnets"]
    assert {subnet["AvailabilityZone"] for subnet in subnets} == {"us-east-1a", "us-east-1b"}


def test_the_discontinued_service_is_refused(ec2: Any) -> None:
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    name = "com.amazonaws.us-east-1.bedrock"
    with pytest.raises(ClientError, match="is discontinued") as caught:
        ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=name, VpcEndpointType="Interface")
    assert code_of(caught) == "InvalidServiceName"
    assert name not in ec2.describe_vpc_endpoint_services()["ServiceNames"]
    private = [
        each.get("PrivateDnsName")
        for each in ec2.describe_vpc_endpoint_services()["ServiceDetails"]
    ]
    assert "bedrock.us-east-1.amazonaws.com" not in private


def test_each_subnet_gets_an_interface_that_the_service_manages(ec2: Any) -> None:
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    endpoint = made(ec2, SubnetIds=subnets)
    shown = ec2.describe_network_interfaces(NetworkInterfaceIds=endpoint["NetworkInterfaceIds"])
    interfaces = shown["NetworkInterfaces"]
    assert sorted(each["SubnetId"] for each in interfaces) == sorted(subnets)
    assert all(each["RequesterManaged"] for each in interfaces)
    with pytest.raises(ClientError) as caught:
        ec2.delete_network_interface(NetworkInterfaceId=interfaces[0]["NetworkInterfaceId"])
    assert code_of(caught) == "OperationNotPermitted"


def test_an_endpoint_without_a_policy_lets_the_runtime_actions_pass(
    gateway: Gateway, ec2: Any
) -> None:
    endpoint = made(ec2)
    policy = json.loads(endpoint["PolicyDocument"])
    assert policy["Statement"][0] == {
        "Action": "*", "Effect": "Allow", "Principal": "*", "Resource": "*"
    }  # fmt: skip
    inner = through(gateway, endpoint)
    assert json.loads(invoke(inner))["completion"]
    runtime = inner.client("bedrock-runtime")
    stream = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=BODY)["body"]
    assert sum(1 for _ in stream) > 0
    message = {"role": "user", "content": [{"text": "hi"}]}
    assert runtime.converse(modelId=CLAUDE, messages=[message])["output"]
    assert runtime.count_tokens(modelId=SONNET, input=COUNTED)


def test_the_documents_policy_allows_two_actions_and_nothing_else(
    gateway: Gateway, ec2: Any
) -> None:
    """RUN-201, and a change of the policy decides the next request."""
    policy = (EXAMPLES / "RUN-201.json").read_text(encoding="utf-8")
    endpoint = made(ec2, PolicyDocument=policy)
    inner = through(gateway, endpoint)
    assert invoke(inner)
    runtime = inner.client("bedrock-runtime")
    stream = runtime.invoke_model_with_response_stream(modelId=CLAUDE, body=BODY)["body"]
    assert sum(1 for _ in stream) > 0
    with pytest.raises(ClientError) as caught:
        runtime.count_tokens(modelId=SONNET, input=COUNTED)
    assert str(caught.value).endswith(
        "User: arn:aws:iam::123456789012:user/admin is not authorized to perform: "
        "bedrock:CountTokens on resource: arn:aws:bedrock:us-east-1::foundation-model/"
        f"{SONNET} because no VPC endpoint policy allows the bedrock:CountTokens action"
    )
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], ResetPolicy=True)
    assert runtime.count_tokens(modelId=SONNET, input=COUNTED)
    deny = {"Effect": "Deny", "Principal": "*", "Action": "*", "Resource": "*"}
    ec2.modify_vpc_endpoint(
        VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=json.dumps({"Statement": [deny]})
    )
    with pytest.raises(ClientError, match="with an explicit deny in a VPC endpoint policy"):
        invoke(inner)
    with pytest.raises(ClientError) as refused:
        ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument="{")
    assert code_of(refused) == "InvalidPolicyDocument"


def test_only_operations_of_its_service_are_answered(gateway: Gateway, ec2: Any) -> None:
    inner = through(gateway, made(ec2))
    for service, operation in (
        ("bedrock", "list_foundation_models"),
        ("iam", "list_users"),
        ("ec2", "describe_vpcs"),
        ("s3", "list_buckets"),
    ):
        with pytest.raises(ClientError):
            getattr(inner.client(service), operation)()
    place = urlsplit(inner.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 0)
    connection.request("GET", "/_outcrop/health")
    assert connection.getresponse().status == 404
    connection.close()


def test_identity_policies_ask_for_the_endpoint(gateway: Gateway, ec2: Any) -> None:
    endpoint, other = made(ec2), made(ec2)
    iam = gateway.client("iam")
    iam.create_user(UserName="inside")
    only = {"StringEquals": {"aws:SourceVpce": endpoint["VpcEndpointId"]}}
    statement = {
        "Effect": "Allow", "Action": "bedrock:InvokeModel", "Resource": "*", "Condition": only
    }  # fmt: skip
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="inside", PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName="inside")["AccessKey"]
    signs = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    assert invoke(through(gateway, endpoint), **signs)
    for outside in (gateway, through(gateway, other)):
        with pytest.raises(ClientError) as caught:
            invoke(outside, **signs)
        assert code_of(caught) == "AccessDeniedException"
    # Headers make no endpoint of the main port.
    endpoint_id = endpoint["VpcEndpointId"]
    address = endpoint["DnsEntries"][0]["DnsName"]
    for name, value in (
        *((name, endpoint_id) for name in CLAIMS),
        *((name, address) for name in CLAIMS),
        ("Host", address),
        ("Host", f"{endpoint_id}-abcdefgh.bedrock-runtime.us-east-1.vpce.amazonaws.com"),
    ):
        runtime = gateway.client("bedrock-runtime", **signs)
        add_header(runtime, name, value)
        with pytest.raises(ClientError) as caught:
            runtime.invoke_model(modelId=CLAUDE, body=BODY)
        assert code_of(caught) == "AccessDeniedException", (name, value)


def test_the_region_s_own_name_reaches_an_endpoint_with_private_dns(
    gateway: Gateway, ec2: Any
) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.7.0.0/24")["Subnet"]["SubnetId"]
    asked = {"VpcId": vpc, "SubnetIds": [subnet], "PrivateDnsEnabled": True}
    with pytest.raises(ClientError, match="requires both enableDnsSupport and enableDnsHostnames"):
        made(ec2, **asked)
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    endpoint = made(ec2, **asked)
    name = "bedrock-runtime.us-east-1.amazonaws.com"
    assert name in [entry["DnsName"] for entry in endpoint["DnsEntries"]]
    with pytest.raises(ClientError, match="conflicting DNS domain"):
        made(ec2, **asked)
    # As if DNS led there: the request is written for that name and sent to the endpoint.
    runtime = through(gateway, endpoint).client("bedrock-runtime")
    add_header(runtime, "Host", name)
    assert runtime.invoke_model(modelId=CLAUDE, body=BODY)["body"].read()


def test_clients_wait_for_networks_and_find_services_by_filter(gateway: Gateway, ec2: Any) -> None:
    vpc = ec2.create_vpc(CidrBlock="10.8.0.0/16")["Vpc"]["VpcId"]
    ec2.get_waiter("vpc_exists").wait(VpcIds=[vpc])
    ec2.get_waiter("vpc_available").wait(VpcIds=[vpc])
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.8.0.0/24")["Subnet"]["SubnetId"]
    ec2.get_waiter("subnet_available").wait(SubnetIds=[subnet])
    interface = ec2.create_network_interface(SubnetId=subnet)["NetworkInterface"]
    shown = {"NetworkInterfaceIds": [interface["NetworkInterfaceId"]]}
    ec2.get_waiter("network_interface_available").wait(**shown)
    group = ec2.create_security_group(VpcId=vpc, GroupName="g", Description="d")["GroupId"]
    ec2.get_waiter("security_group_exists").wait(GroupIds=[group])
    for name, value, found in (
        ("service-type", "Gateway", ["com.amazonaws.us-east-1.s3"]),
        ("service-name", "*.bedrock-r*", [RUNTIME]),
        ("service-name", "*.nothing", []),
    ):
        filters = [{"Name": name, "Values": [value]}]
        assert ec2.describe_vpc_endpoint_services(Filters=filters)["ServiceNames"] == found
    elsewhere = gateway.client("ec2", "eu-west-1")
    with pytest.raises(ClientError) as caught:
        elsewhere.describe_vpcs(VpcIds=[vpc])
    assert code_of(caught) == "InvalidVpcID.NotFound"
    assert elsewhere.describe_vpc_endpoints()["VpcEndpoints"] == []


def test_security_groups_let_clients_in_or_not(gateway: Gateway, ec2: Any) -> None:
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    group = ec2.create_security_group(VpcId=vpc["VpcId"], GroupName="closed", Description="nobody")[
        "GroupId"
    ]
    inner = through(gateway, made(ec2, SecurityGroupIds=[group]))
    with pytest.raises(HTTPClientError):
        invoke(inner)
    rule = {"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    for block, is_let_in in (("10.0.0.0/8", False), ("127.0.0.0/8", True)):
        ranges = [{"CidrIp": block}]
        ec2.authorize_security_group_ingress(
            GroupId=group, IpPermissions=[{**rule, "IpRanges": ranges}]
        )
        if is_let_in:
            assert invoke(inner)
        else:
            with pytest.raises(HTTPClientError):
                invoke(inner)


def test_an_endpoint_that_is_deleted_is_gone(gateway: Gateway, ec2: Any) -> None:
    endpoint = made(ec2)
    endpoint_id = endpoint["VpcEndpointId"]
    assert ec2.delete_vpc_endpoints(VpcEndpointIds=[endpoint_id])["Unsuccessful"] == []
    for _ in range(2000):
        left = ec2.describe_vpc_endpoints()["VpcEndpoints"]
        if endpoint_id not in [each["VpcEndpointId"] for each in left]:
            break
    with pytest.raises(ClientError) as caught:
        ec2.describe_vpc_endpoints(VpcEndpointIds=[endpoint_id])
    assert code_of(caught) == "InvalidVpcEndpointId.NotFound"
    with pytest.raises(EndpointConnectionError):
        invoke(through(gateway, endpoint))


def test_the_policy_of_an_s3_endpoint_limits_buckets(gateway: Gateway, ec2: Any) -> None:
    """RUN-181, and the routes of a gateway endpoint."""
    vpc = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    (table,) = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])[
        "RouteTables"
    ]
    policy = (EXAMPLES / "RUN-181.json").read_text(encoding="utf-8")
    policy = policy.replace("/myfolder", "*").replace("_", "-")
    tables = [table["RouteTableId"]]
    name = "com.amazonaws.us-east-1.s3"
    endpoint = made(ec2, ServiceName=name, RouteTableIds=tables)
    s3 = through(gateway, endpoint).client("s3")
    for bucket in ("my-output-bucket", "another-bucket"):
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="a", Body=b"x")
    ec2.modify_vpc_endpoint(VpcEndpointId=endpoint["VpcEndpointId"], PolicyDocument=policy)
    assert s3.get_object(Bucket="my-output-bucket", Key="a")["Body"].read() == b"x"
    with pytest.raises(ClientError, match="because no VPC endpoint policy allows the s3:GetObject"):
        s3.get_object(Bucket="another-bucket", Key="a")
    assert gateway.client("s3").get_object(Bucket="another-bucket", Key="a")["Body"].read() == b"x"
    # As if DNS led there: the standard name of S3 in the region.
    add_header(s3, "Host", "s3-us-east-1.amazonaws.com")
    assert s3.get_object(Bucket="my-output-bucket", Key="a")["Body"].read() == b"x"
    (shown,) = ec2.describe_route_tables(RouteTableIds=tables)["RouteTables"]
    assert endpoint["VpcEndpointId"] in [route.get("GatewayId") for route in shown["Routes"]]


def test_endpoints_and_what_passed_them_survive_the_server(tmp_path: Path) -> None:
    gateway = start_gateway(tmp_path, ZONES)
    endpoint = made(gateway.client("ec2"))
    os.kill(gateway.process.pid, signal.SIGKILL)
    gateway.process.wait()
    with pytest.raises(EndpointConnectionError):
        invoke(through(gateway, endpoint))
    gateway = start_gateway(tmp_path, ZONES)
    ec2 = gateway.client("ec2")
    again = settled(ec2, endpoint["VpcEndpointId"])
    assert again["DnsEntries"] == endpoint["DnsEntries"]
    gateway.client("s3").create_bucket(Bucket="flows")
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    asked: dict[str, Any] = {
        "ResourceType": "VPC", "ResourceIds": [vpc], "LogDestinationType": "s3",
        "LogDestination": "arn:aws:s3:::flows/all",
    }  # fmt: skip
    assert ec2.create_flow_logs(**asked, TrafficType="ALL")["Unsuccessful"] == []
    assert invoke(through(gateway, again))
    listed = subprocess.run(
        [sys.executable, "-m", "outcrop", "endpoints", "list", "--data-dir", gateway.data_dir],
        capture_output=True,
        text=True,
        check=True,
    )
    assert through(gateway, again).url in listed.stdout
    group = again["Groups"][0]["GroupId"]
    for permission in ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]:
        ec2.revoke_security_group_ingress(GroupId=group, IpPermissions=permission["IpPermissions"])
    with pytest.raises(HTTPClientError):
        invoke(through(gateway, again))
    gateway.stop()
    gateway = start_gateway(tmp_path, ZONES)
    lines = _flow_lines(gateway.client("s3"))
    port = str(urlsplit(through(gateway, again).url).port)
    address = gateway.client("ec2").describe_network_interfaces(
        NetworkInterfaceIds=again["NetworkInterfaceIds"]
    )["NetworkInterfaces"][0]["PrivateIpAddress"]
    came = [line for line in lines if (line[3], line[4], line[6]) == ("127.0.0.1", address, port)]
    assert sorted({line[12] for line in came}) == ["ACCEPT", "REJECT"]
    (accepted,) = (line for line in came if line[12] == "ACCEPT")
    assert (accepted[2], accepted[7], accepted[13]) == (again["NetworkInterfaceIds"][0], "6", "OK")
    assert int(accepted[9]) > len(BODY)
    (back,) = (line for line in lines if (line[3], line[4]) == (address, "127.0.0.1"))
    assert back[5] == port
    assert all(line[9] == "0" for line in came if line[12] == "REJECT")
    gateway.stop()


def _flow_lines(s3: Any) -> list[list[str]]:
    """Of all files, each without its first line, which names the fields."""
    lines: list[list[str]] = []
    for item in s3.list_objects_v2(Bucket="flows", Prefix="all/AWSLogs/")["Contents"]:
        body = s3.get_object(Bucket="flows", Key=item["Key"])["Body"].read()
        head, *rest = gzip.decompress(body).decode().splitlines()
        assert head.startswith("version account-id interface-id srcaddr dstaddr")
        lines += [line.split(" ") for line in rest]
    return lines
