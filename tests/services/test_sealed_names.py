"""What an account calls its models: told by the API after a restart, and not by the database where
it is kept."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from in_process import ADMIN, REGION, Inside, running_inside
from running_gateways import ACCOUNT

from outcrop.stores.model_records import CustomModel, ModelUnit, ProvisionedModel
from outcrop.stores.resources import Place
from outcrop.stores.tables import metadata

BASE = "amazon.titan-text-express-v1"
PREFIX = f"arn:aws:bedrock:{REGION}:{ACCOUNT}"
CUSTOM = f"{PREFIX}:custom-model/{BASE}/aaaaaaaaaaaa"
PROVISIONED = f"{PREFIX}:provisioned-model/bbbbbbbbbbbb"


async def make(inside: Inside) -> None:
    throughput = ProvisionedModel(
        units=1,
        desired_units=1,
        model=CUSTOM,
        desired_model=CUSTOM,
        foundation_model=BASE,
        unit=ModelUnit(input_tokens=1, output_tokens=1),
        status="Failed",
    )
    async with inside.deployment.state.stores.resources.writing() as transaction:
        model = CustomModel(base_model=BASE)
        place = Place(ACCOUNT, REGION, "velmora-model")
        await transaction.add(model, place, arn=CUSTOM, tags={"velmora-tag": "1"})
        place = Place(ACCOUNT, REGION, "velmora-throughput")
        await transaction.add(throughput, place, arn=PROVISIONED)


async def kept(inside: Inside) -> dict[str, list[Any]]:
    """Every row that is kept, by table."""
    async with inside.deployment.state.stores.database.read() as connection:
        return {
            table.name: [tuple(row) for row in await connection.execute(sa.select(table))]
            for table in metadata.sorted_tables
        }


async def test_names_and_arns_of_models_come_back_from_a_database_that_does_not_show_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_inside(tmp_path, monkeypatch) as inside:
        await make(inside)
    async with running_inside(tmp_path, monkeypatch) as inside:
        stored = {name: repr(rows) for name, rows in (await kept(inside)).items()}
        for secret in ("velmora", CUSTOM, PROVISIONED):
            assert [name for name, rows in stored.items() if secret in rows] == []
        client = inside.client(ADMIN)
        found = await client.ask(
            "bedrock", "GetProvisionedModelThroughput", provisionedModelId="velmora-throughput"
        )
        assert found["provisionedModelArn"] == PROVISIONED
        assert found["modelArn"] == CUSTOM
        tags = await client.ask("bedrock", "ListTagsForResource", resourceARN=CUSTOM)
        assert tags["tags"] == [{"key": "velmora-tag", "value": "1"}]
        listed = await client.ask("bedrock", "ListCustomModels")
        assert [each["modelName"] for each in listed["modelSummaries"]] == ["velmora-model"]
