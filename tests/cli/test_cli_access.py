"""``outcrop access``, as an operator types it."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from outcrop.config import DOCUMENTED_REGIONS
from outcrop.server.state import State, open_state
from outcrop.stores.model_records import CustomModel, ModelAccess, OperatorAction
from outcrop.stores.resources import Place

FIRST = "123456789012"
SECOND = "210987654321"
CLAUDE = "anthropic.claude-v2"


def run(app: typer.Typer, *arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == code, result.output
    return result


def listed(app: typer.Typer, *arguments: str) -> list[dict[str, Any]]:
    return json.loads(run(app, "access", "list", "--json", *arguments).stdout)


def in_state(folder: Path, work: Callable[[State], Coroutine[Any, Any, Any]]) -> Any:
    async def working() -> Any:
        async with open_state(folder / "data", os.environ) as state:
            return await work(state)

    return asyncio.run(working())


def test_nobody_has_access_until_it_is_granted(outcrop: typer.Typer) -> None:
    assert "outcrop access grant --all" in run(outcrop, "access", "list").output
    told = run(outcrop, "access", "grant", CLAUDE).output
    assert f"{CLAUDE} in us-east-1" in told
    assert listed(outcrop) == [
        {"account": FIRST, "modelId": CLAUDE, "regions": list(DOCUMENTED_REGIONS)}
    ]
    assert CLAUDE in run(outcrop, "access", "list").output


def test_the_table_names_regions_where_they_are_not_all_of_them(outcrop: typer.Typer) -> None:
    run(outcrop, "access", "grant", CLAUDE)
    assert run(outcrop, "access", "list").output.splitlines()[1].split() == [
        *(FIRST, CLAUDE, "all", "configured")
    ]
    where = ("--region", "us-west-2")
    assert "us-west-2" in run(outcrop, "access", "list", *where).output
    run(outcrop, "access", "revoke", CLAUDE, *where)
    told = run(outcrop, "access", "list").output
    assert "us-east-1, ap-southeast-1" in told
    run(outcrop, "access", "grant", CLAUDE, *where, "--region", "eu-west-3")
    assert "eu-west-3" in run(outcrop, "access", "list").output


def test_all_models_are_granted_to_every_account(outcrop: typer.Typer) -> None:
    run(outcrop, "accounts", "create", "research", "--id", SECOND)
    told = run(outcrop, "access", "grant", "--all").output
    assert f"for account {FIRST}, {SECOND}" in told
    rows = listed(outcrop)
    assert {row["account"] for row in rows} == {FIRST, SECOND}
    # A variant goes with its base model, so that it is no row of its own.
    assert f"{CLAUDE}:0:18k" not in {row["modelId"] for row in rows}
    assert "were so already" in run(outcrop, "access", "grant", "--all").output
    assert len(listed(outcrop, "--account", FIRST)) == len(rows) / 2


def test_account_region_and_pattern_narrow_it(outcrop: typer.Typer) -> None:
    run(outcrop, "accounts", "create", "research", "--id", SECOND)
    where = ("--account", SECOND, "--region", "eu-west-3", "--region", "us-east-1")
    run(outcrop, "access", "grant", "anthropic.claude-instant*", f"{CLAUDE}:0:18k", *where)
    assert listed(outcrop) == [
        {"account": SECOND, "modelId": model, "regions": ["us-east-1", "eu-west-3"]}
        for model in ("anthropic.claude-instant-v1", CLAUDE)
    ]
    run(outcrop, "access", "revoke", CLAUDE, "--region", "eu-west-3")
    assert listed(outcrop, "--region", "eu-west-3") == [
        {"account": SECOND, "modelId": "anthropic.claude-instant-v1", "regions": ["eu-west-3"]}
    ]


def test_revoking_reaches_every_region(outcrop: typer.Typer) -> None:
    run(outcrop, "access", "grant", CLAUDE)
    run(outcrop, "access", "grant", CLAUDE, "--region", "eu-west-3")
    run(outcrop, "access", "revoke", "--all")
    assert listed(outcrop) == []


def test_an_open_deployment_keeps_what_was_revoked(
    outcrop: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUTCROP_ACCESS_DEFAULT", "all")
    before = {row["modelId"] for row in listed(outcrop)}
    run(outcrop, "access", "revoke", CLAUDE)
    assert before - {row["modelId"] for row in listed(outcrop)} == {CLAUDE}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("grant",), "Name the models, or say --all."),
        (("grant", CLAUDE, "--all"), "Name the models, or say --all."),
        (("revoke",), "Name the models, or say --all."),
        (("grant", CLAUDE, "acme.none-v1"), "No model is named acme.none-v1."),
        (("grant", CLAUDE, "--account", SECOND), f"There is no account {SECOND}."),
        (("list", "--account", SECOND), f"There is no account {SECOND}."),
        (("grant", CLAUDE, "--region", "Virginia"), "'Virginia' is not the name of a region"),
    ],
)
def test_what_cannot_be_meant_is_said(
    outcrop: typer.Typer, arguments: tuple[str, ...], told: str
) -> None:
    result = run(outcrop, "access", *arguments, code=1)
    assert told in result.output
    assert listed(outcrop) == []


def test_a_model_that_the_regions_do_not_offer_is_not_granted(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    own = tmp_path / "acme.toml"
    own.write_text(
        'provider = "Acme"\n[[models]]\nid = "acme.chat-v1"\nname = "Chat"\n'
        'dialect = "openai_chat"\ninput_modalities = ["TEXT"]\noutput_modalities = ["TEXT"]\n'
        'regions = ["eu-west-3"]\n',
        encoding="utf-8",
    )
    config = tmp_path / "outcrop.toml"
    config.write_text(f'catalog = ["{own}"]\n', encoding="utf-8")
    chosen = ("--config", str(config))
    refused = run(outcrop, "access", "grant", "acme.chat-v1", *chosen, code=1)
    assert "offers acme.chat-v1" in refused.output
    run(outcrop, "access", "grant", "--all", *chosen)
    assert "acme.chat-v1" not in {row["modelId"] for row in listed(outcrop, *chosen)}
    run(outcrop, "access", "grant", "acme.chat-v1", "--region", "eu-west-3", *chosen)
    assert listed(outcrop, "--region", "eu-west-3", *chosen) == [
        {"account": FIRST, "modelId": "acme.chat-v1", "regions": ["eu-west-3"]}
    ]


def test_revoking_is_refused_while_resources_use_the_model(
    outcrop: typer.Typer, tmp_path: Path
) -> None:
    run(outcrop, "access", "grant", "--all")
    arn = f"arn:aws:bedrock:us-east-1:{FIRST}:custom-model/{CLAUDE}/abc"
    place = Place(FIRST, "us-east-1", "mine")

    async def make(state: State) -> None:
        async with state.stores.resources.writing() as transaction:
            await transaction.add(CustomModel(base_model=f"{CLAUDE}:0:18k"), place, arn=arn)

    in_state(tmp_path, make)
    before = listed(outcrop)
    assert arn in run(outcrop, "access", "revoke", "--all", code=1).output
    assert listed(outcrop) == before
    run(outcrop, "access", "revoke", CLAUDE, "--region", "us-west-2")
    run(outcrop, "access", "revoke", "amazon.*")


def test_what_an_operator_did_is_recorded(outcrop: typer.Typer, tmp_path: Path) -> None:
    run(outcrop, "access", "grant", CLAUDE, "--region", "us-east-1")
    run(outcrop, "access", "grant", CLAUDE, "--region", "us-east-1")
    run(outcrop, "access", "revoke", CLAUDE)

    async def read(state: State) -> tuple[list[OperatorAction], ModelAccess]:
        async with state.stores.resources.reading() as view:
            (access,) = await view.list(ModelAccess)
            actions = await view.list(OperatorAction, account=FIRST)
        actions.sort(key=lambda item: item.created_at)
        return [item.record for item in actions], access.record

    (granted, revoked), access = in_state(tmp_path, read)
    assert (granted.action, granted.detail) == (
        "access.grant",
        {"models": CLAUDE, "regions": "us-east-1"},
    )
    assert granted.operator
    assert revoked.action == "access.revoke"
    assert (access.status, access.by) == ("removed", "operator")


def test_doctor_tells_of_accounts_without_access(outcrop: typer.Typer) -> None:
    told = run(outcrop, "doctor", code=1).output
    assert f"account {FIRST} may use no model" in told
    assert f"outcrop access grant --all --account {FIRST}" in told
    run(outcrop, "access", "grant", "--all")
    assert "may use no model" not in run(outcrop, "doctor", code=1).output
