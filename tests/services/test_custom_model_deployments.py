"""Custom models on demand: created, swapped, deleted, each by a job that sees to the engine."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from access_requests import disentitle
from botocore.exceptions import ClientError
from custom_models_under_test import SONNET, Models, served_by
from in_process import Inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.engines.fitting import AdapterUnavailable
from outcrop.engines.protocol import Engine
from outcrop.services.bedrock.customization.kinds import DEPLOY, RETIRE
from outcrop.stores.model_records import CustomModel, CustomModelDeployment, ModelAccess
from outcrop.stores.resources import Place

NAME_TAKEN = (
    "ValidationException",
    "There is a custom model deployment named 'mine' already. Choose another name.",
)


@pytest.fixture
def models(inside: Inside) -> Models:
    return Models.of(inside)


def serves(models: Models) -> bool:
    """Whether any engine of the name is there: nothing here is served by the base's own."""
    return any(each.loaded for each in models.inside.deployment.engines.status())


async def test_a_deployment_is_created_served_told_and_deleted(models: Models) -> None:
    model = await models.add("tuned")
    arn = await models.deploy(model, description="of the spring", tags=[{"key": "a", "value": "b"}])
    assert arn.startswith(f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model-deployment/")
    assert (await models.settled(arn)) == await models.get("mine")
    found = await models.get(arn)
    created, changed = found.pop("createdAt"), found.pop("lastUpdatedAt")
    assert created <= changed
    assert found == {
        "customModelDeploymentArn": arn,
        "modelDeploymentName": "mine",
        "modelArn": model,
        "status": "Active",
        "description": "of the spring",
    }
    tags = await models.ask("ListTagsForResource", resourceARN=arn)
    assert tags["tags"] == [{"key": "a", "value": "b"}]
    assert await models.outcome("Converse", arn) == ("ok", served_by(model))
    assert serves(models)
    await models.ask("DeleteCustomModelDeployment", customModelDeploymentIdentifier="mine")
    code, _ = await models.refusal("GetCustomModelDeployment", customModelDeploymentIdentifier=arn)
    assert code == "ResourceNotFoundException"
    assert (await models.outcome("Converse", arn))[0] == "ValidationException"
    await models.jobs_done(RETIRE)
    assert not serves(models)


async def test_an_engine_ends_with_the_last_deployment_of_its_model(models: Models) -> None:
    model = await models.add("tuned")
    one, two = await models.deployed(model, "one"), await models.deployed(model, "two")
    for arn, expected in ((one, True), (two, False)):
        await models.outcome("Converse", two)
        await models.ask("DeleteCustomModelDeployment", customModelDeploymentIdentifier=arn)
        await models.jobs_done(RETIRE)
        assert serves(models) is expected


async def test_a_request_that_comes_again_is_answered_as_before(models: Models) -> None:
    model = await models.add("tuned")
    token: dict[str, Any] = {"clientRequestToken": "token-1"}
    arn = await models.deploy(model, **token)
    assert await models.deploy(model, **token) == arn
    code, _ = await models.refusal(
        "CreateCustomModelDeployment", modelArn=model, modelDeploymentName="other", **token
    )
    assert code == "ValidationException"
    asked: dict[str, Any] = {"modelArn": model, "modelDeploymentName": "mine"}
    assert await models.refusal("CreateCustomModelDeployment", **asked) == NAME_TAKEN


async def test_of_many_requests_for_one_name_one_gets_it(models: Models) -> None:
    model = await models.add("tuned")
    outcomes = await asyncio.gather(
        *(models.deploy(model) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(each, str) for each in outcomes) == 1
    assert all(isinstance(each, str | ClientError) for each in outcomes)


async def test_what_cannot_be_started_fails_with_the_reason_and_answers_nothing(
    models: Models,
) -> None:
    model = await models.add("tuned")
    await models.change(CustomModel, "tuned", engine="gone")
    arn = await models.deploy(model)
    found = await models.settled(arn)
    assert found["status"] == "Failed"
    assert "'gone'" in found["failureMessage"]
    code, message = await models.outcome("Converse", arn)
    assert code == "ValidationException"
    assert "failed" in message
    (listed,) = (await models.ask("ListCustomModelDeployments"))["modelDeploymentSummaries"]
    assert listed["failureMessage"] == found["failureMessage"]
    # To its own model as little as to another one.
    for wanted in (model, await models.add("b")):
        asked: dict[str, Any] = {"customModelDeploymentIdentifier": "mine", "modelArn": wanted}
        code, message = await models.refusal("UpdateCustomModelDeployment", **asked)
        assert code == "ValidationException"
        assert "failed" in message


async def test_an_adapter_of_other_weights_is_not_served(models: Models) -> None:
    model = await models.add("tuned")
    adapter = await models.adapter_of(model)
    other = msgspec.structs.replace(adapter, base="sha256-of-others")
    await models.change(CustomModel, "tuned", adapter=other)
    found = await models.settled(await models.deploy(model))
    assert found["status"] == "Failed"
    assert "other weights" in found["failureMessage"]


async def test_an_adapter_that_may_be_opened_later_is_waited_for(
    models: Models, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines = models.inside.deployment.engines
    get, refused = engines.get, list[str]()

    async def get_later(*arguments: Any, **options: Any) -> Engine:
        if not refused:
            refused.append("once")
            raise AdapterUnavailable("KMS says nothing", may_pass=True)
        return await get(*arguments, **options)

    monkeypatch.setattr(engines, "get", get_later)
    found = await models.settled(await models.deploy(await models.add("tuned")))
    assert found["status"] == "Active"
    assert refused == ["once"]


async def test_until_it_is_ready_it_is_not_ready(models: Models) -> None:
    arn = await models.deployed(await models.add("tuned"))
    await models.change(CustomModelDeployment, "mine", status="Creating")
    code, _ = await models.outcome("Converse", arn)
    assert code == "ModelNotReadyException"


async def test_another_model_takes_its_place_and_the_old_one_s_engine_ends_later(
    models: Models,
) -> None:
    old, new = await models.add("old"), await models.add("new")
    arn = await models.deployed(old)
    before = await models.get()
    assert "updateDetails" not in before
    await models.update(new)
    found = await models.settled()
    assert found["modelArn"] == new
    assert found["updateDetails"] == {"modelArn": new, "updateStatus": "UpdateCompleted"}
    assert found["lastUpdatedAt"] >= before["lastUpdatedAt"]
    assert await models.outcome("Converse", arn) == ("ok", served_by(new))
    # Once more is no change.
    await models.update(new)
    assert (await models.get()) == found
    # The old one can go now.
    await models.ask("DeleteCustomModel", modelIdentifier=old)


async def test_while_it_is_updated_the_old_model_serves(models: Models) -> None:
    old, new = await models.add("old"), await models.add("new")
    arn = await models.deployed(old)
    await models.change(CustomModelDeployment, "mine", status="Updating", desired_model=new)
    found = await models.get()
    assert (found["status"], found["modelArn"]) == ("Active", old)
    assert found["updateDetails"] == {"modelArn": new, "updateStatus": "Updating"}
    assert await models.outcome("Converse", arn) == ("ok", served_by(old))
    await models.update(new)
    asked: dict[str, Any] = {"customModelDeploymentIdentifier": "mine", "modelArn": old}
    code, message = await models.refusal("UpdateCustomModelDeployment", **asked)
    assert code == "ValidationException"
    assert "being updated" in message


async def test_an_update_that_fails_leaves_the_old_model_and_may_be_tried_again(
    models: Models,
) -> None:
    old, new = await models.add("old"), await models.add("new")
    arn = await models.deployed(old)
    await models.change(CustomModel, "new", engine="gone")
    await models.update(new)
    found = await models.settled()
    assert (found["status"], found["modelArn"]) == ("Active", old)
    assert found["updateDetails"] == {"modelArn": new, "updateStatus": "UpdateFailed"}
    assert "'gone'" in found["failureMessage"]
    assert await models.outcome("Converse", arn) == ("ok", served_by(old))
    await models.change(CustomModel, "new", engine="script")
    await models.update(new)
    found = await models.settled()
    assert found["updateDetails"]["updateStatus"] == "UpdateCompleted"
    assert "failureMessage" not in found


async def test_what_is_deleted_while_its_engine_starts_leaves_none(models: Models) -> None:
    model = await models.add("tuned")
    for _ in range(5):
        await models.deploy(model)
        await models.ask("DeleteCustomModelDeployment", customModelDeploymentIdentifier="mine")
    await models.jobs_done(DEPLOY)
    await models.jobs_done(RETIRE)
    assert not serves(models)


async def test_no_call_fails_while_the_model_is_swapped_and_answers_change_over_once(
    models: Models,
) -> None:
    old, new = await models.add("old"), await models.add("new")
    arn = await models.deployed(old)
    seen: list[tuple[str, str]] = []

    async def call() -> None:
        for _ in range(15):
            seen.append(await models.outcome("Converse", arn))

    calls = [asyncio.create_task(call()) for _ in range(4)]
    await models.update(new)
    await models.settled()
    await asyncio.gather(*calls)
    seen.append(await models.outcome("Converse", arn))
    assert {outcome for outcome, _ in seen} == {"ok"}
    assert seen[-1] == ("ok", served_by(new))
    # In the order in which they were answered; four at a time may overtake each other.
    first_new = [who for _, who in seen].index(served_by(new))
    assert [who for _, who in seen[first_new + 4 :]].count(served_by(old)) == 0


async def test_only_custom_models_of_the_account_are_deployed(models: Models) -> None:
    theirs = await models.add("theirs", account=OTHER)
    absent = theirs.replace(OTHER, ACCOUNT)
    for model in (theirs, absent):
        asked: dict[str, Any] = {"modelArn": model, "modelDeploymentName": "mine"}
        code, _ = await models.refusal("CreateCustomModelDeployment", **asked)
        assert code in ("ResourceNotFoundException", "AccessDeniedException")
    elsewhere = absent.replace(":us-east-1:", ":us-west-2:")
    asked: dict[str, Any] = {"modelArn": elsewhere, "modelDeploymentName": "mine"}
    code, _ = await models.refusal("CreateCustomModelDeployment", **asked)
    assert code == "ValidationException"


async def test_access_to_the_base_stays_while_a_deployment_needs_it(models: Models) -> None:
    model = await models.add("tuned", base="amazon.titan-text-express-v1:0:8k")
    arn = await models.deployed(model)
    status, answer = await disentitle(models.admin, "amazon.titan-text-express-v1")
    assert status == 409 or status == 400
    assert arn in answer["message"]


async def test_an_account_without_access_to_the_base_deploys_nothing(models: Models) -> None:
    model = await models.add("tuned")
    place = Place(ACCOUNT, "us-east-1", SONNET)
    async with models.inside.deployment.state.stores.resources.writing() as transaction:
        await transaction.add(ModelAccess(status="removed", by="operator"), place)
    asked: dict[str, Any] = {"modelArn": model, "modelDeploymentName": "mine"}
    code, _ = await models.refusal("CreateCustomModelDeployment", **asked)
    assert code == "AccessDeniedException"


async def test_filters_sorting_and_pages(models: Models) -> None:
    one, two = await models.add("one"), await models.add("two")
    for name, model in (("first", one), ("second", two), ("third", two)):
        await models.deployed(model, name)
    await models.change(CustomModelDeployment, "third", status="Failed", failure="No engine.")
    await models.change(CustomModelDeployment, "second", status="Updating", desired_model=one)

    async def names(**filters: Any) -> list[str]:
        found = await models.ask("ListCustomModelDeployments", **filters)
        return [each["customModelDeploymentName"] for each in found["modelDeploymentSummaries"]]

    now = datetime.now(UTC)
    for filters, expected in (
        ({}, ["third", "second", "first"]),
        ({"sortBy": "CreationTime", "sortOrder": "Ascending"}, ["first", "second", "third"]),
        ({"nameContains": "ir"}, ["third", "first"]),
        ({"statusEquals": "Active"}, ["second", "first"]),
        ({"statusEquals": "Failed"}, ["third"]),
        ({"statusEquals": "Creating"}, []),
        ({"modelArnEquals": two}, ["third", "second"]),
        ({"createdAfter": now + timedelta(hours=1)}, []),
        ({"createdBefore": now + timedelta(hours=1)}, ["third", "second", "first"]),
    ):
        assert await names(**filters) == expected, filters
    first = await models.ask("ListCustomModelDeployments", maxResults=2)
    rest = await names(maxResults=2, nextToken=first["nextToken"])
    assert rest == ["first"]


async def test_another_account_s_deployment_is_not_there(models: Models) -> None:
    arn = await models.deployed(await models.add("tuned"))
    keys = await models.inside.user(OTHER, "admin", document(allow("*")))
    stranger = models.inside.client(keys)
    assert (await models.ask("ListCustomModelDeployments", stranger))[
        "modelDeploymentSummaries"
    ] == []
    absent = arn[:-12] + "zzzzzzzzzzzz"
    for operation in ("GetCustomModelDeployment", "DeleteCustomModelDeployment"):
        code, _ = await models.refusal(operation, stranger, customModelDeploymentIdentifier="mine")
        assert code == "ResourceNotFoundException"
        told = {
            (await models.refusal(operation, stranger, customModelDeploymentIdentifier=each))[0]
            for each in (arn, absent)
        }
        assert len(told) == 1
    assert await models.outcome("Converse", arn, stranger) != ("ok", "")
    told = {(await models.outcome("Converse", each, stranger))[0] for each in (arn, absent)}
    assert told in ({"AccessDeniedException"}, {"ValidationException"})
    assert (await models.get())["status"] == "Active"


async def test_policies_know_deployments_by_arn_and_tag_however_they_are_named(
    models: Models,
) -> None:
    model = await models.add("tuned")
    ours = await models.deployed(model, "ours", tags=[{"key": "team", "value": "ore"}])
    theirs = await models.deployed(model, "theirs", tags=[{"key": "team", "value": "coal"}])
    tagged: dict[str, Any] = {"Condition": {"StringEquals": {"aws:ResourceTag/team": "ore"}}}
    actions = ["bedrock:InvokeModel", "bedrock:GetCustomModelDeployment"]
    keys = await models.inside.user(ACCOUNT, "miner", document(allow(actions, **tagged)))
    named = await models.inside.user(ACCOUNT, "named", document(allow(actions, ours)))
    for key in (keys, named):
        client = models.inside.client(key)
        assert (await models.outcome("Converse", ours, client))[0] == "ok"
        assert (await models.outcome("Converse", theirs, client))[0] == "AccessDeniedException"
        for identifier in ("ours", ours):
            asked: dict[str, Any] = {"customModelDeploymentIdentifier": identifier}
            await models.ask("GetCustomModelDeployment", client, **asked)
        for identifier in ("theirs", theirs):
            asked: dict[str, Any] = {"customModelDeploymentIdentifier": identifier}
            code, _ = await models.refusal("GetCustomModelDeployment", client, **asked)
            assert code == "AccessDeniedException"
