"""Secrets through their life, as clients see it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from in_process import ADMIN, Client, Inside
from kms_requests import make_key, refusal
from statements import ACCOUNT

from outcrop.errors import AWSError
from outcrop.stores.secret_records import Secret, SecretVersion

SHARED = Path(__file__).resolve().parents[2] / "../shared"
SERVICE = "secretsmanager"
TOKENS = [f"{number:032d}" for number in range(200)]


def recorded() -> dict[str, dict[str, Any]]:
    lines = (SHARED / "aws-errors.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["key"]: row for row in rows if row["service"] == SERVICE}


RECORDED = recorded()


def told(key: str, **names: str) -> tuple[str, str]:
    row = RECORDED[key]
    message = row["message"]
    for name, value in names.items():
        message = message.replace(f"<{name}-0idx>", value)
    return row["code"], message


async def make(client: Client, name: str = "db", value: str = "one", **params: Any) -> str:
    """Its ARN."""
    made = await client.ask(SERVICE, "CreateSecret", Name=name, SecretString=value, **params)
    return made["ARN"]


async def put(client: Client, value: str, token: str, **params: Any) -> dict[str, Any]:
    return await client.ask(
        SERVICE,
        "PutSecretValue",
        SecretId="db",
        SecretString=value,
        ClientRequestToken=token,
        **params,
    )


async def got(client: Client, name: str = "db", **params: Any) -> Any:
    answer = await client.ask(SERVICE, "GetSecretValue", SecretId=name, **params)
    return answer.get("SecretString")


async def stages(client: Client) -> dict[str, list[str]]:
    return (await client.ask(SERVICE, "DescribeSecret", SecretId="db"))["VersionIdsToStages"]


async def at(inside: Inside, days: float, operation: str, **params: Any) -> Any:
    call = inside.call(inside.caller(ADMIN), datetime.now(UTC) + timedelta(days=days))
    return await call.perform(SERVICE, operation, params)


async def test_a_secret_is_found_by_name_arn_and_the_arn_s_beginning(admin: Client) -> None:
    arn = await make(admin, "prod/db")
    start, _, ending = arn.rpartition("-")
    assert start == f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:prod/db"
    assert len(ending) == 6
    for name in ("prod/db", arn, start):
        assert await got(admin, name) == "one"
    other_account = arn.replace(ACCOUNT, "210987654321")
    assert (await refusal(admin, SERVICE, "GetSecretValue", SecretId=other_account))[0] in (
        "AccessDeniedException",
        "ResourceNotFoundException",
    )


async def test_a_name_is_taken_once_and_a_repeated_request_makes_nothing(admin: Client) -> None:
    made = await admin.ask(
        SERVICE, "CreateSecret", Name="db", SecretString="one", ClientRequestToken=TOKENS[0]
    )
    again = await admin.ask(
        SERVICE, "CreateSecret", Name="db", SecretString="one", ClientRequestToken=TOKENS[0]
    )
    assert {name: again[name] for name in ("ARN", "VersionId")} == {
        name: made[name] for name in ("ARN", "VersionId")
    }
    for token, value in ((TOKENS[0], "two"), (TOKENS[1], "one")):
        answer = await refusal(
            admin,
            SERVICE,
            "CreateSecret",
            Name="db",
            SecretString=value,
            ClientRequestToken=token,
        )
        assert answer[0] == "ResourceExistsException"
    assert answer == told("/ex_log", SecretId="db")


async def test_names_of_other_characters_are_refused_as_recorded(admin: Client) -> None:
    answer = await refusal(admin, SERVICE, "CreateSecret", Name="Inv Name", SecretString="x")
    assert answer == told("/ex_log_1")


async def test_what_is_not_there_is_told_as_recorded(admin: Client) -> None:
    answer = await refusal(admin, SERVICE, "GetSecretValue", SecretId="none")
    assert answer == told("/resource_not_found_dict_1")
    arn = await make(admin)
    answer = await refusal(
        admin, SERVICE, "GetSecretValue", SecretId=arn, VersionStage="AWSPREVIOUS"
    )
    assert answer == told("/error_get_secret_value_non_existing")
    current = next(iter(await stages(admin)))
    answer = await refusal(
        admin,
        SERVICE,
        "GetSecretValue",
        SecretId=arn,
        VersionId=current,
        VersionStage="AWSPREVIOUS",
    )
    assert answer == told("/mismatch_version_id_and_stage")


async def test_the_current_version_becomes_the_previous_one(admin: Client) -> None:
    await make(admin, ClientRequestToken=TOKENS[0])
    await put(admin, "two", TOKENS[1])
    await put(admin, "three", TOKENS[2])
    assert await stages(admin) == {TOKENS[1]: ["AWSPREVIOUS"], TOKENS[2]: ["AWSCURRENT"]}
    assert await got(admin) == "three"
    assert await got(admin, VersionStage="AWSPREVIOUS") == "two"
    assert await got(admin, VersionId=TOKENS[0]) == "one"


async def test_a_repeated_put_makes_no_version_and_another_value_is_refused(admin: Client) -> None:
    await make(admin)
    first, again = await put(admin, "two", TOKENS[1]), await put(admin, "two", TOKENS[1])
    assert first["VersionId"] == again["VersionId"] == TOKENS[1]
    code, message = await refusal(
        admin,
        SERVICE,
        "PutSecretValue",
        SecretId="db",
        SecretString="three",
        ClientRequestToken=TOKENS[1],
    )
    assert code == "ResourceExistsException"
    assert TOKENS[1] in message
    assert await got(admin) == "two"


async def test_labels_move_between_versions(admin: Client) -> None:
    await make(admin, ClientRequestToken=TOKENS[0])
    await put(admin, "two", TOKENS[1], VersionStages=["AWSPENDING"])
    assert await got(admin) == "one"
    asked: dict[str, Any] = {"SecretId": "db", "VersionStage": "AWSCURRENT"}
    code, _ = await refusal(
        admin, SERVICE, "UpdateSecretVersionStage", **asked, MoveToVersionId=TOKENS[1]
    )
    assert code == "InvalidParameterException"
    await admin.ask(
        SERVICE,
        "UpdateSecretVersionStage",
        **asked,
        MoveToVersionId=TOKENS[1],
        RemoveFromVersionId=TOKENS[0],
    )
    assert await stages(admin) == {
        TOKENS[0]: ["AWSPREVIOUS"],
        TOKENS[1]: ["AWSPENDING", "AWSCURRENT"],
    }
    await admin.ask(
        SERVICE,
        "UpdateSecretVersionStage",
        SecretId="db",
        VersionStage="AWSPENDING",
        RemoveFromVersionId=TOKENS[1],
    )
    assert await stages(admin) == {TOKENS[0]: ["AWSPREVIOUS"], TOKENS[1]: ["AWSCURRENT"]}
    code, _ = await refusal(
        admin, SERVICE, "UpdateSecretVersionStage", **asked, RemoveFromVersionId=TOKENS[1]
    )
    assert code == "InvalidParameterException"


async def test_a_secret_keeps_a_hundred_versions(admin: Client) -> None:
    await make(admin, ClientRequestToken=TOKENS[0])
    for token in TOKENS[1:103]:
        await put(admin, token, token)
    listed = await admin.ask(
        SERVICE, "ListSecretVersionIds", SecretId="db", IncludeDeprecated=True, MaxResults=100
    )
    kept = [version["VersionId"] for version in listed["Versions"]]
    assert kept == TOKENS[3:103]
    assert await got(admin, VersionStage="AWSPREVIOUS") == TOKENS[101]


async def test_versions_are_listed_page_by_page(admin: Client) -> None:
    await make(admin, ClientRequestToken=TOKENS[0])
    await put(admin, "two", TOKENS[1])
    await put(admin, "three", TOKENS[2])
    asked: dict[str, Any] = {"SecretId": "db", "IncludeDeprecated": True, "MaxResults": 2}
    first = await admin.ask(SERVICE, "ListSecretVersionIds", **asked)
    second = await admin.ask(SERVICE, "ListSecretVersionIds", **asked, NextToken=first["NextToken"])
    seen = [version["VersionId"] for page in (first, second) for version in page["Versions"]]
    assert seen == TOKENS[:3]
    code, _ = await refusal(admin, SERVICE, "ListSecretVersionIds", **asked, NextToken="none")
    assert code == "InvalidNextTokenException"


async def test_binary_values_come_back_as_they_were(admin: Client) -> None:
    value = bytes(range(256)) * 256
    await admin.ask(SERVICE, "CreateSecret", Name="db", SecretBinary=value)
    answer = await admin.ask(SERVICE, "GetSecretValue", SecretId="db")
    assert answer["SecretBinary"] == value
    assert "SecretString" not in answer
    code, _ = await refusal(
        admin, SERVICE, "PutSecretValue", SecretId="db", SecretString="a", SecretBinary=b"a"
    )
    assert code == "InvalidParameterException"


async def test_a_deleted_secret_is_kept_for_its_window_and_can_come_back(
    inside: Inside, admin: Client
) -> None:
    await make(admin)
    deleted = await admin.ask(SERVICE, "DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    assert deleted["DeletionDate"] > datetime.now(UTC) + timedelta(days=6)
    answer = await refusal(admin, SERVICE, "TagResource", SecretId="db", Tags=[])
    assert answer == told("/tag_deleted_secret_error")
    answer = await refusal(admin, SERVICE, "CreateSecret", Name="db", SecretString="x")
    assert answer == told("/invalid_req_ex")
    code, _ = await refusal(admin, SERVICE, "GetSecretValue", SecretId="db")
    assert code == "InvalidRequestException"
    described = await admin.ask(SERVICE, "DescribeSecret", SecretId="db")
    assert described["DeletedDate"] < datetime.now(UTC)
    assert (await admin.ask(SERVICE, "ListSecrets"))["SecretList"] == []
    planned = await admin.ask(SERVICE, "ListSecrets", IncludePlannedDeletion=True)
    assert len(planned["SecretList"]) == 1
    await at(inside, 6.9, "RestoreSecret", SecretId="db")
    assert await got(admin) == "one"


async def test_after_its_window_a_secret_is_gone_with_every_version(
    inside: Inside, admin: Client
) -> None:
    await make(admin)
    await admin.ask(SERVICE, "DeleteSecret", SecretId="db", RecoveryWindowInDays=7)
    with pytest.raises(AWSError) as caught:
        await at(inside, 7.1, "RestoreSecret", SecretId="db")
    assert caught.value.code == "ResourceNotFoundException"
    assert (await at(inside, 7.1, "ListSecrets"))["SecretList"] == []
    async with inside.deployment.state.stores.resources.reading() as view:
        assert [*await view.list(Secret), *await view.list(SecretVersion)] == []


async def test_a_forced_deletion_is_at_once_and_may_be_repeated(admin: Client) -> None:
    arn = await make(admin)
    for params in (
        {"RecoveryWindowInDays": 7, "ForceDeleteWithoutRecovery": True},
        {"RecoveryWindowInDays": 6},
    ):
        code, _ = await refusal(admin, SERVICE, "DeleteSecret", SecretId="db", **params)
        assert code == "InvalidParameterException"
    forced: dict[str, Any] = {"SecretId": "db", "ForceDeleteWithoutRecovery": True}
    assert (await admin.ask(SERVICE, "DeleteSecret", **forced))["ARN"] == arn
    assert "ARN" not in await admin.ask(SERVICE, "DeleteSecret", **forced)
    assert await make(admin, value="new") != arn
    assert await got(admin) == "new"


async def test_another_key_re_encrypts_what_has_a_label(admin: Client) -> None:
    await make(admin)
    await put(admin, "two", TOKENS[1])
    key = await make_key(admin)
    await admin.ask(SERVICE, "UpdateSecret", SecretId="db", KmsKeyId=key, Description="text")
    listed = await admin.ask(SERVICE, "ListSecretVersionIds", SecretId="db")
    assert [version["KmsKeyIds"] for version in listed["Versions"]] == [[key], [key]]
    described = await admin.ask(SERVICE, "DescribeSecret", SecretId="db")
    assert (described["KmsKeyId"], described["Description"]) == (key, "text")
    assert await got(admin, VersionStage="AWSPREVIOUS") == "one"
    await admin.ask("kms", "DisableKey", KeyId=key)
    assert (await refusal(admin, SERVICE, "GetSecretValue", SecretId="db"))[
        0
    ] == "DecryptionFailure"
    code, _ = await refusal(admin, SERVICE, "PutSecretValue", SecretId="db", SecretString="three")
    assert code == "EncryptionFailure"


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([], {"prod/db", "prod/api", "test/db"}),
        ([("name", ["prod"])], {"prod/db", "prod/api"}),
        ([("name", ["!prod"])], {"test/db"}),
        ([("name", ["Prod"])], set[str]()),
        ([("tag-key", ["team"]), ("tag-value", ["ml"])], {"prod/api"}),
        ([("description", ["second"])], {"test/db"}),
        ([("all", ["ML"])], {"prod/api"}),
        ([("owning-service", ["rds"])], set[str]()),
    ],
)
async def test_filters_narrow_the_list(
    admin: Client, filters: list[tuple[str, list[str]]], found: set[str]
) -> None:
    await make(admin, "prod/db")
    await make(admin, "prod/api", Tags=[{"Key": "team", "Value": "ml"}])
    await make(admin, "test/db", Description="The second one")
    asked = [{"Key": key, "Values": values} for key, values in filters]
    listed = await admin.ask(SERVICE, "ListSecrets", Filters=asked)
    assert {secret["Name"] for secret in listed["SecretList"]} == found
    batch = {"Filters": asked} if asked else {"SecretIdList": sorted(found)}
    values = await admin.ask(SERVICE, "BatchGetSecretValue", **batch)
    assert {value["Name"] for value in values["SecretValues"]} == found


async def test_a_batch_tells_of_each_secret_that_failed(admin: Client) -> None:
    await make(admin)
    answer = await admin.ask(SERVICE, "BatchGetSecretValue", SecretIdList=["db", "none"])
    assert [value["SecretString"] for value in answer["SecretValues"]] == ["one"]
    failed = [(each["SecretId"], each["ErrorCode"]) for each in answer["Errors"]]
    assert failed == [("none", "ResourceNotFoundException")]


async def test_secrets_are_listed_in_order_and_page_by_page(admin: Client) -> None:
    for name in ("b", "c", "a"):
        await make(admin, name)
    asked: dict[str, Any] = {"SortBy": "name", "SortOrder": "asc", "MaxResults": 2}
    first = await admin.ask(SERVICE, "ListSecrets", **asked)
    second = await admin.ask(SERVICE, "ListSecrets", **asked, NextToken=first["NextToken"])
    names = [secret["Name"] for page in (first, second) for secret in page["SecretList"]]
    assert names == ["a", "b", "c"]


async def test_tags_come_and_go(admin: Client) -> None:
    await make(admin, Tags=[{"Key": "a", "Value": "1"}])
    await admin.ask(SERVICE, "TagResource", SecretId="db", Tags=[{"Key": "b", "Value": "2"}])
    await admin.ask(SERVICE, "UntagResource", SecretId="db", TagKeys=["a"])
    described = await admin.ask(SERVICE, "DescribeSecret", SecretId="db")
    assert described["Tags"] == [{"Key": "b", "Value": "2"}]
    code, _ = await refusal(
        admin, SERVICE, "TagResource", SecretId="db", Tags=[{"Key": "aws:x", "Value": ""}]
    )
    assert code == "InvalidParameterException"


async def test_rotation_says_that_it_has_no_function_to_call(admin: Client) -> None:
    await make(admin)
    code, _ = await refusal(admin, SERVICE, "RotateSecret", SecretId="db")
    assert code == "InvalidRequestException"
    function = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"
    code, _ = await refusal(
        admin, SERVICE, "RotateSecret", SecretId="db", RotationLambdaARN=function
    )
    assert code == "InvalidParameterException"


@pytest.mark.parametrize(
    "params",
    [
        {"AddReplicaRegions": [{"Region": "eu-west-1"}]},
        {"Type": "x"},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
    ],
)
async def test_what_is_not_kept_is_refused_and_not_dropped(
    admin: Client, params: dict[str, Any]
) -> None:
    code, _ = await refusal(admin, SERVICE, "CreateSecret", Name="db", **params)
    assert code == "InvalidParameterException"


async def test_passwords_are_random_and_of_the_kinds_asked_for(admin: Client) -> None:
    async def password(**params: Any) -> str:
        return (await admin.ask(SERVICE, "GetRandomPassword", **params))["RandomPassword"]

    assert len({await password() for _ in range(20)}) == 20
    assert len(await password()) == 32
    digits = await password(
        PasswordLength=40,
        ExcludeUppercase=True,
        ExcludeLowercase=True,
        ExcludePunctuation=True,
        ExcludeCharacters="01234",
    )
    assert len(digits) == 40
    assert set(digits) <= set("56789")
    for _ in range(20):
        mixed = await password(PasswordLength=4)
        assert [any(map(test, mixed)) for test in (str.isupper, str.islower, str.isdigit)] == [
            True
        ] * 3
    for params in (
        {"PasswordLength": 3},
        {"ExcludeCharacters": "0123456789"},
    ):
        code, _ = await refusal(admin, SERVICE, "GetRandomPassword", **params)
        assert code == "InvalidParameterException"


async def test_answers_have_the_members_that_were_recorded(admin: Client) -> None:
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["service"] == SERVICE]
    await make(admin, Description="text", KmsKeyId=await make_key(admin))
    await got(admin)
    policy = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": {
                "Effect": "Deny",
                "Principal": "*",
                "Action": "secretsmanager:*",
                "Resource": "*",
                "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}},
            },
        }
    )
    await admin.ask(SERVICE, "PutResourcePolicy", SecretId="db", ResourcePolicy=policy)
    # Rotation, replicas and the services that own secrets are not there; deletion is above.
    absent = {"RotationEnabled", "RotationLambdaARN", "RotationRules", "LastRotatedDate"}
    absent |= {"NextRotationDate", "PrimaryRegion", "ReplicationStatus", "OwningService"}
    for operation in ("DescribeSecret", "GetResourcePolicy", "ListSecretVersionIds"):
        ours = await admin.ask(SERVICE, operation, SecretId="db")
        for row in rows:
            if (row["op"], row["status"]) == (operation, 200):
                assert ours.keys() >= row["data"].keys() - absent - {"DeletedDate"}
