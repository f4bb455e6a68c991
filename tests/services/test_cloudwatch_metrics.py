"""CloudWatch's metrics as clients of botocore put and read them, in each of its protocols."""

import json
from collections.abc import AsyncGenerator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import botocore.auth
import botocore.awsrequest
import botocore.parsers
import botocore.serialize
import pytest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.loaders import Loader
from botocore.model import ServiceModel
from in_process import ADMIN, HOST, REGION, Client, Inside, as_received, running_inside, whole
from running_gateways import ACCOUNT

RECORDED = Path(__file__).resolve().parents[2] / "../shared/aws-errors.jsonl"
MODEL = "amazon.titan-text-express-v1"
SHELF = [{"Name": "Shelf", "Value": "1"}]


@pytest.fixture
async def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Inside]:
    async with running_inside(tmp_path, monkeypatch, "210987654321") as opened:
        yield opened


@pytest.fixture
def client(inside: Inside) -> Client:
    return inside.client(ADMIN)


def minute(ago: int = 0) -> datetime:
    return datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=ago)


async def put(client: Client, *data: Mapping[str, Any], namespace: str = "Shop") -> None:
    await client.ask("cloudwatch", "PutMetricData", Namespace=namespace, MetricData=list(data))


async def statistics(client: Client, name: str = "Visits", **params: Any) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {
        "Namespace": "Shop",
        "MetricName": name,
        "StartTime": minute(30),
        "EndTime": minute(-5),
        "Period": 3600,
        "Statistics": ["SampleCount", "Sum", "Average", "Minimum", "Maximum"],
        **params,
    }
    if "ExtendedStatistics" in params:
        del asked["Statistics"]
    answer = await client.ask("cloudwatch", "GetMetricStatistics", **asked)
    return answer["Datapoints"]


async def refusal(client: Client, operation: str, **params: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        await client.ask("cloudwatch", operation, **params)
    error = cast(Any, caught.value.response)["Error"]
    return error["Code"], error["Message"]


async def test_all_forms_of_samples_count(client: Client) -> None:
    await put(
        client,
        {"MetricName": "Visits", "Value": 4.0, "Unit": "Count"},
        {"MetricName": "Visits", "Values": [1.0, 2.0], "Counts": [3.0, 1.0], "Unit": "Count"},
        {
            "MetricName": "Visits",
            "StatisticValues": {"SampleCount": 2.0, "Sum": 9.0, "Minimum": 3.0, "Maximum": 6.0},
            "Unit": "Count",
        },
    )
    (point,) = await statistics(client)
    del point["Timestamp"]
    assert point == {
        "SampleCount": 7.0,
        "Sum": 18.0,
        "Average": 18 / 7,
        "Minimum": 1.0,
        "Maximum": 6.0,
        "Unit": "Count",
    }
    (point,) = await statistics(client, ExtendedStatistics=["p90"])
    assert "ExtendedStatistics" not in point


async def test_percentiles_and_trimmed_means(client: Client) -> None:
    values = [float(value) for value in range(1, 101)]
    await put(client, {"MetricName": "Visits", "Values": values, "Timestamp": minute(3)})
    (point,) = await statistics(client, ExtendedStatistics=["p50", "p99.5", "tm90"])
    found = point["ExtendedStatistics"]
    assert found["p50"] == pytest.approx(50, rel=0.01)
    assert found["p99.5"] == pytest.approx(100, rel=0.01)
    assert found["tm90"] == pytest.approx(45.5, rel=0.01)
    assert point["Unit"] == "None"


async def test_a_metric_of_other_dimensions_accounts_or_regions_is_another_one(
    inside: Inside, client: Client
) -> None:
    await put(client, {"MetricName": "Visits", "Value": 1.0, "Dimensions": SHELF})
    assert await statistics(client) == []
    (point,) = await statistics(client, Dimensions=SHELF)
    assert point["Sum"] == 1
    elsewhere = Client(client.app, client.keys, region="us-west-2")
    assert await statistics(elsewhere, Dimensions=SHELF) == []
    stranger = await inside.user("210987654321", "eve", _policy("cloudwatch:*"))
    assert await statistics(inside.client(stranger), Dimensions=SHELF) == []


async def test_metrics_are_listed_by_namespace_name_and_dimensions(client: Client) -> None:
    await put(client, {"MetricName": "Visits", "Value": 1.0, "Dimensions": SHELF})
    await put(client, {"MetricName": "Sales", "Value": 1.0, "Timestamp": minute(600)})
    everything = (await client.ask("cloudwatch", "ListMetrics", Namespace="Shop"))["Metrics"]
    assert [metric["MetricName"] for metric in everything] == ["Sales", "Visits"]
    filters: list[tuple[dict[str, Any], list[str]]] = [
        ({"MetricName": "Sales"}, ["Sales"]),
        ({"Dimensions": [{"Name": "Shelf"}]}, ["Visits"]),
        ({"Dimensions": SHELF}, ["Visits"]),
        ({"Dimensions": [{"Name": "Shelf", "Value": "2"}]}, []),
        ({"RecentlyActive": "PT3H"}, ["Visits"]),
        ({"Namespace": "Other"}, []),
    ]
    for asked, names in filters:
        answer = await client.ask("cloudwatch", "ListMetrics", **asked)
        assert [metric["MetricName"] for metric in answer["Metrics"]] == names


async def test_a_long_list_of_metrics_comes_in_pages(client: Client) -> None:
    for start in (0, 400):
        await put(
            client,
            *(
                {
                    "MetricName": "Visits",
                    "Value": 1.0,
                    "Dimensions": [{"Name": "Shelf", "Value": f"{number:03}"}],
                }
                for number in range(start, start + 400)
            ),
        )
    first = await client.ask("cloudwatch", "ListMetrics")
    rest = await client.ask("cloudwatch", "ListMetrics", NextToken=first["NextToken"])
    shelves = [metric["Dimensions"][0]["Value"] for metric in (*first["Metrics"], *rest["Metrics"])]
    assert shelves == [f"{number:03}" for number in range(800)]
    code, _ = await refusal(client, "ListMetrics", NextToken="made-up")
    assert code == "InvalidNextToken"


def stat(id: str, name: str = "Visits", statistic: str = "Sum", **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "Shop", "MetricName": name}
    return {"Id": id, "MetricStat": {"Metric": metric, "Period": 60, "Stat": statistic}, **more}


async def data(client: Client, *queries: Mapping[str, Any], **params: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {
        "MetricDataQueries": list(queries),
        "StartTime": minute(10),
        "EndTime": minute(-1),
        "ScanBy": "TimestampAscending",
        **params,
    }
    return await client.ask("cloudwatch", "GetMetricData", **asked)


async def test_metric_data_and_math_over_it(client: Client) -> None:
    await put(
        client,
        *(
            {"MetricName": "Visits", "Value": float(ago), "Timestamp": minute(ago)}
            for ago in (5, 4, 2)
        ),
    )
    answer = await data(
        client,
        stat("m1", Label="Guests"),
        stat("m2", "Nothing", ReturnData=False),
        {"Id": "e1", "Expression": "FILL(m1, 0) * 2", "Label": "Twice"},
        {"Id": "e2", "Expression": "e1 / 4"},
        {"Id": "e3", "Expression": "SUM(METRICS())"},
    )
    results = {result["Id"]: result for result in answer["MetricDataResults"]}
    assert list(results) == ["m1", "e1", "e2", "e3"]
    assert results["m1"]["Label"] == "Guests"
    assert results["m1"]["Values"] == [5, 4, 2]
    assert results["m1"]["Timestamps"] == [minute(ago) for ago in (5, 4, 2)]
    assert results["e1"]["Values"] == [0] * 5 + [10, 8, 0, 4, 0, 0]
    assert results["e2"]["Values"] == [0] * 5 + [2.5, 2, 0, 1, 0, 0]
    assert results["e3"]["Values"] == [5, 4, 2]
    assert {result["StatusCode"] for result in results.values()} == {"Complete"}


async def test_metric_data_comes_in_pages_newest_first(client: Client) -> None:
    await put(
        client,
        *(
            {"MetricName": name, "Value": float(ago), "Timestamp": minute(ago)}
            for name in ("Visits", "Sales")
            for ago in range(1, 6)
        ),
    )
    queries = (stat("m1"), stat("m2", "Sales"))
    params: dict[str, Any] = {"MaxDatapoints": 3, "ScanBy": "TimestampDescending"}
    start, end = minute(10), minute(-1)
    found: dict[str, list[float]] = {"m1": [], "m2": []}
    states: list[list[str]] = []
    while True:
        answer = await data(client, *queries, StartTime=start, EndTime=end, **params)
        for result in answer["MetricDataResults"]:
            found[result["Id"]] += result["Values"]
        states.append([result["StatusCode"] for result in answer["MetricDataResults"]])
        if "NextToken" not in answer:
            break
        params["NextToken"] = answer["NextToken"]
    assert found == {"m1": [1, 2, 3, 4, 5], "m2": [1, 2, 3, 4, 5]}
    assert states == [["PartialData"], ["Complete", "PartialData"], ["PartialData"], ["Complete"]]


async def test_calls_of_models_are_counted_before_they_are_asked_for(client: Client) -> None:
    body = json.dumps({"inputText": "Hello there"}).encode()
    for _ in range(3):
        answer = await client.app.handle(
            client.request("bedrock-runtime", "InvokeModel", modelId=MODEL, body=body)
        )
        assert answer.status == 200
    await client.app.handle(
        client.request("bedrock-runtime", "InvokeModel", modelId=MODEL, body=b"{}")
    )
    for dimensions in ([], [{"Name": "ModelId", "Value": MODEL}]):
        sums: dict[str, float] = {}
        for name in ("Invocations", "InvocationClientErrors", "InvocationLatency"):
            (point,) = await statistics(
                client, name, Namespace="AWS/Bedrock", Dimensions=dimensions
            )
            sums[name] = point["SampleCount"]
            # The documents' "SampleCount" is no unit of CloudWatch's.
            assert point["Unit"] == ("Milliseconds" if "Latency" in name else "Count")
        assert sums == {
            "Invocations": 4,
            "InvocationClientErrors": 1,
            "InvocationLatency": 3,
        }


VALUE = {"MetricName": "Visits", "Value": 1.0}
SUMMARY = {"SampleCount": 1.0, "Sum": 1.0, "Minimum": 1.0, "Maximum": 1.0}


@pytest.mark.parametrize(
    ("namespace", "datum", "code", "text"),
    [
        ("AWS/Bedrock", VALUE, "InvalidParameterValue", "AWS/Bedrock for parameter Namespace"),
        ("Shop", {"MetricName": "Visits"}, "MissingParameter", "must be specified"),
        (
            "Shop",
            {**VALUE, "Values": [1.0]},
            "InvalidParameterCombination",
            "The parameters MetricData.member.1.Value and MetricData.member.1.Values are mutually "
            "exclusive and you have specified both.",
        ),
        ("Shop", {**VALUE, "Value": float("nan")}, "InvalidParameterValue", "The value NaN"),
        ("Shop", {**VALUE, "Value": 2.0**361}, "InvalidParameterValue", "is invalid"),
        (
            "Shop",
            {"MetricName": "Visits", "Values": [1.0], "Counts": [1.0, 2.0]},
            "InvalidParameterValue",
            "must be of the same size",
        ),
        (
            "Shop",
            {"MetricName": "Visits", "Values": [1.0] * 151},
            "InvalidParameterValue",
            "must not have a size greater than 150",
        ),
        ("Shop", {**VALUE, "StorageResolution": 30}, "InvalidParameterValue", "StorageResolution"),
        ("Shop", {**VALUE, "Dimensions": SHELF * 2}, "InvalidParameterValue", "twice"),
        (
            "Shop",
            {**VALUE, "Dimensions": [{"Name": str(number), "Value": "v"} for number in range(31)]},
            "ValidationError",
            "less than or equal to 30",
        ),
        (
            "Shop",
            {**VALUE, "Timestamp": datetime(2020, 1, 1, tzinfo=UTC)},
            "InvalidParameterValue",
            "two weeks in the past",
        ),
        (
            "Shop",
            {**VALUE, "Timestamp": datetime(2100, 1, 1, tzinfo=UTC)},
            "InvalidParameterValue",
            "two hours in the future",
        ),
        (
            "Shop",
            {"MetricName": "Visits", "StatisticValues": {**SUMMARY, "SampleCount": 0.0}},
            "InvalidParameterValue",
            "SampleCount",
        ),
    ],
)
async def test_samples_that_make_no_sense_are_refused(
    client: Client, namespace: str, datum: dict[str, Any], code: str, text: str
) -> None:
    found = await refusal(client, "PutMetricData", Namespace=namespace, MetricData=[datum])
    assert found[0] == code
    assert text in found[1]


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"Id": "M1", "Expression": "1"}, "M1 for parameter MetricDataQueries.member.1.Id"),
        ({"Id": "e1"}, "exactly one of MetricStat and Expression"),
        ({"Id": "e1", "Expression": "SEARCH('a', 'Sum', 60)"}, "no function 'SEARCH'"),
        ({"Id": "e1", "Expression": "SELECT AVG(x) FROM y"}, "Metrics Insights"),
        ({"Id": "e1", "Expression": "e1 + 1"}, "needs itself"),
        ({"Id": "e1", "Expression": "m9"}, "no query with the ID 'm9'"),
        ({"Id": "e1", "Expression": "1 + 2"}, "single value"),
        (stat("m1", statistic="p101"), "p101 for parameter"),
        ({**stat("m1"), "AccountId": "210987654321"}, "another account"),
        ({"Id": "e1", "Expression": "TIME_SERIES(1)", "Period": 45}, "multiple of 60"),
    ],
)
async def test_queries_that_make_no_sense_are_refused(
    client: Client, query: dict[str, Any], text: str
) -> None:
    code, message = await refusal(
        client,
        "GetMetricData",
        MetricDataQueries=[query],
        StartTime=minute(10),
        EndTime=minute(),
    )
    assert code == "ValidationError"
    assert text in message


def _policy(action: str, **condition: Any) -> str:
    statement: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": "*"}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


async def test_a_policy_bounds_the_namespaces_that_one_may_put_to(inside: Inside) -> None:
    only = {"cloudwatch:namespace": "Shop"}
    keys = await inside.user(ACCOUNT, "ann", _policy("cloudwatch:PutMetricData", StringEquals=only))
    ann = inside.client(keys)
    await put(ann, VALUE)
    code, message = await refusal(ann, "PutMetricData", Namespace="Bank", MetricData=[VALUE])
    assert code in ("AccessDenied", "AccessDeniedException")
    assert "cloudwatch:PutMetricData" in message
    code, message = await refusal(ann, "ListMetrics")
    assert "cloudwatch:ListMetrics" in message
    code, message = await refusal(ann, "ListDashboards")
    assert "cloudwatch:ListDashboards" in message


def _recorded() -> dict[str, dict[str, Any]]:
    rows = [json.loads(line) for line in RECORDED.read_text(encoding="utf-8").splitlines()]
    return {row["key"]: row for row in rows if row["service"] == "cloudwatch"}


_DAY = {"StartTime": datetime(2026, 1, 1, tzinfo=UTC), "EndTime": datetime(2026, 1, 2, tzinfo=UTC)}
_REFUSED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "/invalid-param-combination-2",
        "PutMetricData",
        {"Namespace": "Shop", "MetricData": [{**VALUE, "StatisticValues": SUMMARY}]},
    ),
    (
        "/error-invalid-amount-datapoints",
        "GetMetricStatistics",
        {
            "Namespace": "Shop",
            "MetricName": "Visits",
            **_DAY,
            "Period": 1,
            "Statistics": ["SampleCount"],
        },
    ),
    (
        "/invalid-value-response/ErrorResponse",
        "SetAlarmState",
        {"AlarmName": "a", "StateValue": "INVALID", "StateReason": "r"},
    ),
    (
        "/error-resource-not-found",
        "SetAlarmState",
        {"AlarmName": "a", "StateValue": "OK", "StateReason": "r"},
    ),
)
PROTOCOLS = ("smithy-rpc-v2-cbor", "json", "query")


async def ask_in(
    client: Client, protocol: str, operation: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """As a client of that protocol would."""
    raw = cast(Any, Loader()).load_service_model("cloudwatch", "service-2")
    model = cast(Any, ServiceModel(raw, "cloudwatch"))
    write = cast(Any, botocore.serialize).create_serializer(protocol, False)
    parts = write.serialize_to_request(dict(params), model.operation_model(operation))
    awsrequest = cast(Any, botocore.awsrequest)
    awsrequest.prepare_request_dict(parts, endpoint_url=f"http://{HOST}", context={})
    unsigned = awsrequest.create_request_object(parts)
    credentials = Credentials(client.keys.id, client.keys.secret)
    cast(Any, botocore.auth).SigV4Auth(credentials, "monitoring", REGION).add_auth(unsigned)
    response = await client.app.handle(as_received(unsigned))
    answer = {
        "status_code": response.status,
        "headers": awsrequest.HeadersDict(dict(response.headers)),
        "body": await whole(response),
    }
    read = cast(Any, botocore.parsers).create_parser(protocol)
    return read.parse(answer, model.operation_model(operation).output_shape)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_each_protocol_puts_and_reads(client: Client, protocol: str) -> None:
    datum = {
        "MetricName": "Visits",
        "Values": [1.5, 2.5],
        "Counts": [1.0, 2.0],
        "Dimensions": SHELF,
        "Timestamp": minute(2),
        "Unit": "Count",
    }
    await ask_in(client, protocol, "PutMetricData", {"Namespace": "Shop", "MetricData": [datum]})
    query = stat("m1")
    query["MetricStat"]["Metric"]["Dimensions"] = SHELF
    span = {"StartTime": minute(10), "EndTime": minute()}
    answer = await ask_in(client, protocol, "GetMetricData", {"MetricDataQueries": [query], **span})
    (result,) = answer["MetricDataResults"]
    assert result["Values"] == [6.5]
    assert result["Timestamps"] == [minute(2)]
    answer = await ask_in(client, protocol, "ListMetrics", {})
    assert answer["Metrics"] == [{"Namespace": "Shop", "MetricName": "Visits", "Dimensions": SHELF}]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("key", "operation", "params"), _REFUSED)
async def test_refusals_are_those_recorded_in_every_protocol(
    client: Client, protocol: str, key: str, operation: str, params: dict[str, Any]
) -> None:
    recorded = _recorded()[key]
    answer = await ask_in(client, protocol, operation, params)
    error, status = answer["Error"], answer["ResponseMetadata"]["HTTPStatusCode"]
    assert error["Code"] == recorded["code"]
    assert _same_order(error.get("Message") or "") == _same_order(recorded["message"])
    assert recorded["status"] in (None, status)


def _same_order(text: str) -> str:
    """The set of values of an enumeration has no order."""
    start, bracket, values = text.partition("[")
    return start + bracket + ", ".join(sorted(values.rstrip("]").split(", ")))
