"""``outcrop jobs`` as an operator types it."""

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.cli.state import state_of
from outcrop.config import Config
from outcrop.stores.customization_records import CustomizationJob, Phase, TrainingProgress
from outcrop.stores.model_records import DataKey
from outcrop.stores.resources import Place

ACCOUNT, OTHER = "123456789012", "210987654321"
JOB = CustomizationJob(
    base_model="amazon.titan-text-express-v1:0:8k",
    type="FINE_TUNING",
    role_arn="r",
    model_name="my-model",
    model_arn="arn:of:the:model",
    training_uri="s3://b/t",
    output_uri="s3://b/o",
    hyperparameters={"epochCount": "3"},
    engine="smollm2",
    base="f",
    data_key=DataKey(kms_key="k", ciphertext=b"c", context="x", grant="g"),
    by="me",
    training=Phase(status="InProgress"),
    progress=TrainingProgress(
        step=5, steps=20, epoch=2, loss=1.25, tokens=4000, tokens_per_s=120.0, left_s=90.0
    ),
)


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["jobs", *arguments], env={"COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


def write(folder: Path, name: str, account: str = ACCOUNT, **fields: Any) -> str:
    """Its ARN."""
    arn = f"arn:aws:bedrock:us-east-1:{account}:model-customization-job/base/{name}"
    place = Place(account, "us-east-1", name)
    record = msgspec.structs.replace(JOB, **fields)

    async def work() -> None:
        config = Config(data_dir=folder / "data", cache_dir=folder / "cache")
        async with state_of(config) as state, state.stores.resources.writing() as transaction:
            found = await transaction.find(CustomizationJob, place)
            if found is None:
                await transaction.add(record, place, arn=arn)
            else:
                await transaction.put(replace(found, record=record))

    asyncio.run(work())
    return arn


def test_jobs_of_all_accounts_are_listed(outcrop: typer.Typer, tmp_path: Path) -> None:
    run(outcrop, "list")
    write(tmp_path, "one")
    write(tmp_path, "two", OTHER, status="Failed")
    told = run(outcrop, "list").stdout
    assert "25%" in told
    assert "1.2500" in told
    listed = json.loads(run(outcrop, "list", "--json").stdout)
    assert {(each["name"], each["status"]) for each in listed} == {
        ("one", "InProgress"),
        ("two", "Failed"),
    }
    [own] = json.loads(run(outcrop, "list", "--json", "--account", OTHER).stdout)
    assert own["name"] == "two"


@pytest.mark.parametrize(
    ("fields", "said", "code"),
    [
        ({"status": "Completed", "note": "The loss did not fall."}, "arn:of:the:model", 0),
        ({"status": "Completed", "note": "The loss did not fall."}, "did not fall", 0),
        ({"status": "Failed", "failure": "Unable to parse"}, "Unable to parse", 1),
        ({"status": "Stopped"}, "leaves no model", 1),
    ],
)
def test_watching_ends_with_the_job(
    outcrop: typer.Typer, tmp_path: Path, fields: dict[str, Any], said: str, code: int
) -> None:
    run(outcrop, "list")
    arn = write(tmp_path, "one", ended_at=datetime.now(UTC), **fields)
    for named in ("one", arn):
        assert said in run(outcrop, "watch", named, code=code).output


def test_what_is_watched_shows_loss_speed_and_time_left(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    run(outcrop, "list")
    write(tmp_path, "one")
    command = [sys.executable, "-m", "outcrop", "jobs", "watch", "one"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stderr is not None
        assert watching.stderr.readline() == (
            "one: training, epoch 2/3, step 5/20, loss 1.2500, 120 tokens/s, 0:01:30 left, "
            "4,000 tokens\n"
        )
        write(tmp_path, "one", status="Stopped")
        assert watching.stderr.readline().startswith("one: stopped")
    assert watching.returncode == 1


def test_json_has_a_line_for_each_change(outcrop: typer.Typer, tmp_path: Path) -> None:
    run(outcrop, "list")
    write(tmp_path, "one", status="Completed")
    [line] = run(outcrop, "watch", "one", "--json").stdout.splitlines()
    told = json.loads(line)
    assert (told["status"], told["step"], told["left_s"]) == ("Completed", 5, 90.0)


def test_a_name_that_is_none_or_several_is_refused(outcrop: typer.Typer, tmp_path: Path) -> None:
    run(outcrop, "list")
    assert "There is no customization job 'one'" in run(outcrop, "watch", "one", code=1).output
    write(tmp_path, "one")
    arn = write(tmp_path, "one", OTHER)
    assert arn in run(outcrop, "watch", "one", code=1).output
