"""Custom models as resources: told as AWS tells them, listed in pages, deleted while nothing uses
them, with all that was kept of them."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from botocore.exceptions import ClientError
from custom_models_under_test import NO_KEY, SONNET, Models, files_in, job_record
from in_process import Inside
from statements import ACCOUNT, OTHER, allow, document

from outcrop.services.bedrock.customization.kinds import DISCARD
from outcrop.stores.customization_records import CustomizationJob
from outcrop.stores.kms_records import KmsGrant
from outcrop.stores.model_records import CustomModel, CustomModelDeployment, ProvisionedModel
from outcrop.stores.resources import Place
from outcrop.stores.tables import resources, to_ms

SHARED = Path(__file__).resolve().parents[2] / "../shared"
NOT_FOUND = (
    "ResourceNotFoundException",
    "The specified resource Amazon Resource Name (ARN) was not found. Check the Amazon Resource "
    "Name (ARN) and try your request again.",
)
VARIANT = "amazon.titan-text-express-v1:0:8k"
SINCE_2023 = {"jobName", "customizationType", "modelStatus", "ownerAccountId"}
"""What the service tells besides since it was recorded."""


@pytest.fixture
def models(inside: Inside) -> Models:
    return Models.of(inside)


def recorded(id: str) -> dict[str, Any]:
    """What AWS answered, of this account."""
    lines = (SHARED / "real-control-plane.jsonl").read_text(encoding="utf-8").splitlines()
    found = next(json.loads(line)["data"] for line in lines if f'"id": "{id}"' in line[:40])
    text = json.dumps({name: value for name, value in found.items() if name[0].islower()})
    return json.loads(text.replace("644160558196", ACCOUNT))


async def write_recorded(models: Models, told: dict[str, Any]) -> datetime:
    """The records behind what was recorded. When the model was made."""
    record = CustomModel(base_model=VARIANT, engine="script", job_arn=told["jobArn"])
    await models.write(record, Place(ACCOUNT, "us-east-1", told["modelName"]), told["modelArn"])
    job = job_record(VARIANT, told["modelArn"], told["modelName"], NO_KEY)
    place = Place(ACCOUNT, "us-east-1", "the-job")
    await models.write(job, place, told["jobArn"])
    uris = {"training_uri": told["trainingDataConfig"]["s3Uri"]}
    uris["output_uri"] = told["outputDataConfig"]["s3Uri"]
    await models.change(CustomizationJob, "the-job", **uris)
    fields = {name: value for name, value in told["creationTime"].items() if name[0] != "_"}
    moment = datetime(**fields, tzinfo=UTC)
    await date(models, moment)
    return moment


async def date(models: Models, moment: datetime) -> None:
    """The model added last, as if it had been made then. Rows do not tell names."""
    newest = sa.text("rowid = (SELECT max(rowid) FROM resources WHERE kind = :kind)")
    query = sa.update(resources).where(newest.bindparams(kind=CustomModel.KIND))
    async with models.inside.deployment.state.stores.database.write() as connection:
        await connection.execute(query.values(created_at_ms=to_ms(moment)))


@pytest.mark.parametrize("by", ["modelArn", "modelName"])
async def test_a_model_is_told_as_aws_told_it(models: Models, by: str) -> None:
    told = recorded("184b7ec241767ca4")
    moment = await write_recorded(models, told)
    found = await models.ask("GetCustomModel", modelIdentifier=told[by])
    found.pop("ResponseMetadata")
    assert found.pop("creationTime").timestamp() == moment.timestamp()
    del told["creationTime"]
    assert {name: found[name] for name in told} == told
    assert set(found) - set(told) <= SINCE_2023
    assert (found["jobName"], found["modelStatus"]) == ("the-job", "Active")


async def test_models_are_listed_as_aws_listed_them(models: Models) -> None:
    await write_recorded(models, recorded("184b7ec241767ca4"))
    (told,) = recorded("82085dcc1ec3a8f3")["modelSummaries"]
    answer = await models.ask("ListCustomModels")
    (found,) = answer["modelSummaries"]
    # Recorded empty; its pattern asks for a model's name.
    assert found.pop("baseModelName") == "amazon.titan-text-express-v1"
    for name in ("baseModelName", "creationTime"):
        del told[name]
    assert {name: found[name] for name in told} == told
    assert set(found) - set(told) <= SINCE_2023 | {"creationTime"}
    assert recorded("3b82899bc2f0080c") == {"modelSummaries": []}


async def test_a_model_without_validation_has_no_losses_of_it_and_a_customer_s_key_is_told(
    models: Models,
) -> None:
    key = (await models.admin.ask("kms", "CreateKey"))["KeyMetadata"]["Arn"]
    await models.add("tuned", key=key)
    uris = ("s3://bucket/validation.jsonl",)
    await models.change(CustomizationJob, "tuned", validation_losses=(), validation_uris=uris)
    found = await models.ask("GetCustomModel", modelIdentifier="tuned")
    assert found["modelKmsKeyArn"] == key
    assert found["validationMetrics"] == []
    assert found["validationDataConfig"] == {"validators": [{"s3Uri": uris[0]}]}
    assert found["customizationType"] == "FINE_TUNING"


async def test_a_model_that_no_job_made_is_told_without_one(models: Models) -> None:
    arn = f"arn:aws:bedrock:us-east-1:{ACCOUNT}:custom-model/{SONNET}/abcdefghijkl"
    await models.write(CustomModel(base_model=SONNET), Place(ACCOUNT, "us-east-1", "bare"), arn)
    found = await models.ask("GetCustomModel", modelIdentifier="bare")
    found.pop("ResponseMetadata")
    assert set(found) == {"modelArn", "modelName", "baseModelArn", "creationTime", "modelStatus"}


async def test_filters_sorting_and_pages(models: Models) -> None:
    titan = "amazon.titan-text-express-v1:0:8k"
    began = datetime(2026, 1, 1, tzinfo=UTC)
    for number, (name, base) in enumerate((("one", SONNET), ("two", titan), ("three", titan))):
        await models.add(name, base)
        await date(models, began + timedelta(days=number))

    async def names(**filters: Any) -> list[str]:
        found = await models.ask("ListCustomModels", **filters)
        return [each["modelName"] for each in found["modelSummaries"]]

    base_arn = f"arn:aws:bedrock:us-east-1::foundation-model/{titan}"
    for filters, expected in (
        ({}, ["three", "two", "one"]),
        ({"sortBy": "CreationTime", "sortOrder": "Descending"}, ["three", "two", "one"]),
        ({"sortOrder": "Ascending"}, ["one", "two", "three"]),
        ({"nameContains": "o"}, ["two", "one"]),
        ({"baseModelArnEquals": base_arn}, ["three", "two"]),
        ({"foundationModelArnEquals": base_arn, "nameContains": "thr"}, ["three"]),
        ({"creationTimeAfter": began}, ["three", "two"]),
        ({"creationTimeBefore": began + timedelta(days=1)}, ["one"]),
        ({"isOwned": True}, ["three", "two", "one"]),
        ({"isOwned": False}, []),
        ({"modelStatus": "Active"}, ["three", "two", "one"]),
        ({"modelStatus": "Failed"}, []),
    ):
        assert await names(**filters) == expected, filters
    first = await models.ask("ListCustomModels", maxResults=2)
    rest = await models.ask("ListCustomModels", maxResults=2, nextToken=first["nextToken"])
    listed = [each["modelName"] for each in first["modelSummaries"] + rest["modelSummaries"]]
    assert listed == ["three", "two", "one"]
    assert "nextToken" not in rest
    code, _ = await models.refusal(
        "ListCustomModels", nextToken=first["nextToken"], maxResults=2, nameContains="t"
    )
    assert code == "ValidationException"


async def test_what_is_another_account_s_or_region_s_is_not_there(models: Models) -> None:
    theirs = await models.add("theirs", account=OTHER)
    ours = await models.add("ours")
    stranger = models.inside.client(await models.inside.user(OTHER, "admin", document(allow("*"))))
    for operation in ("GetCustomModel", "DeleteCustomModel"):
        assert await models.refusal(operation, modelIdentifier="theirs") == NOT_FOUND
        assert await models.refusal(operation, stranger, modelIdentifier="ours") == NOT_FOUND
        absent = ours[:-12] + "zzzzzzzzzzzz"
        told = [
            (await models.refusal(operation, stranger, modelIdentifier=arn))[0]
            for arn in (ours, absent)
        ]
        # That somebody has it is not to be learned.
        assert told in (["ResourceNotFoundException"] * 2, ["AccessDeniedException"] * 2)
        elsewhere = ours.replace(":us-east-1:", ":us-west-2:")
        assert await models.refusal(operation, modelIdentifier=elsewhere) == (
            "ValidationException",
            "The provided ARN is invalid for the service region",
        )
    (listed,) = (await models.ask("ListCustomModels", stranger))["modelSummaries"]
    assert listed["modelArn"] == theirs


async def test_a_model_that_serves_or_is_about_to_is_not_deleted(models: Models) -> None:
    one, two = await models.add("one"), await models.add("two")
    deployment = await models.deployed(one)
    bought = await models.bought(one)
    code, message = await models.refusal("DeleteCustomModel", modelIdentifier="one")
    assert code == "ConflictException"
    assert deployment in message
    assert bought in message
    refused: dict[str, bool] = {}
    for status in ("Creating", "Active", "Updating", "Failed"):
        await models.change(CustomModelDeployment, "mine", status=status, desired_model=two)
        await models.change(ProvisionedModel, "bought", status="Failed")
        refused[status] = await is_refused(models, "two", deployment)
    assert refused == {"Creating": True, "Active": False, "Updating": True, "Failed": False}
    await models.change(CustomModelDeployment, "mine", status="Failed")
    for status in ("Creating", "Updating", "InService"):
        await models.change(ProvisionedModel, "bought", status=status, desired_model=two)
        refused[status] = await is_refused(models, "two", bought)
    assert refused["Creating"]
    assert refused["Updating"]
    assert not refused["InService"]


async def is_refused(models: Models, name: str, because: str) -> bool:
    """Whether its deletion is; one that was deleted comes back."""
    async with models.inside.deployment.state.stores.resources.reading() as view:
        item = await view.get(CustomModel, Place(ACCOUNT, "us-east-1", name))
    try:
        await models.ask("DeleteCustomModel", modelIdentifier=name)
    except ClientError as error:
        return because in str(error)
    await models.write(item.record, item.place, str(item.arn))
    return False


async def test_with_a_model_go_its_sealed_files_and_its_grant(models: Models) -> None:
    arn = await models.add("tuned")
    other = await models.add("other")
    adapter = await models.adapter_of(arn)
    folder = models.inside.deployment.config.data_dir / "artifacts"
    for name in (adapter.folder, (await models.adapter_of(other)).folder):
        (folder / name).mkdir(parents=True)
        (folder / name / "adapter.gguf").write_bytes(b"sealed")
    assert len(await grants(models)) == 2
    await models.ask("DeleteCustomModel", modelIdentifier=arn)
    assert await models.refusal("GetCustomModel", modelIdentifier=arn) == NOT_FOUND
    await models.jobs_done(DISCARD)
    assert files_in(folder) == [(await models.adapter_of(other)).folder]
    assert adapter.data_key.grant not in await grants(models)
    assert len(await grants(models)) == 1
    # Its name is free, and what it was trained by is still told.
    await models.ask("GetModelCustomizationJob", jobIdentifier="tuned")


async def grants(models: Models) -> list[str]:
    async with models.inside.deployment.state.stores.resources.reading() as view:
        return [grant.name for grant in await view.list(KmsGrant)]


async def test_a_model_is_deleted_or_deployed_never_both(models: Models) -> None:
    """Requests at once: whoever comes second is refused."""
    for number in range(8):
        arn = await models.add(f"model{number}")
        name = f"serving{number}"
        deletes = models.ask("DeleteCustomModel", modelIdentifier=arn)
        outcomes = await asyncio.gather(
            *(
                [deletes, models.deploy(arn, name)]
                if number % 2
                else [models.deploy(arn, name), deletes]
            ),
            return_exceptions=True,
        )
        failed = [each for each in outcomes if isinstance(each, BaseException)]
        assert len(failed) == 1, outcomes
        async with models.inside.deployment.state.stores.resources.reading() as view:
            model = await view.find_arn(CustomModel, arn)
            place = Place(ACCOUNT, "us-east-1", name)
            deployment = await view.find(CustomModelDeployment, place)
        assert (model is None) == (deployment is None)


async def test_models_that_are_imported_are_not_there_yet(models: Models) -> None:
    code, message = await models.refusal(
        "CreateCustomModel",
        modelName="imported",
        modelSourceConfig={"s3DataSource": {"s3Uri": "s3://bucket/model"}},
    )
    assert code == "NotImplementedException"
    assert "CreateCustomModel" in message
