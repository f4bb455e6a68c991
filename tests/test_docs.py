"""The documentation names everything a user can set or run, and nothing that is not there."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer.core
import typer.main

from outcrop import config
from outcrop.authorization.bedrock import SERVICES as BEDROCK
from outcrop.catalog.load import load_models
from outcrop.catalog.model import Model
from outcrop.cli.app import build
from outcrop.dialects import NoDialect, embedding_dialect, text_dialect
from outcrop.engines.modelfiles import known_models
from outcrop.services.table import names_by_service, render as render_operations

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "outcrop"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
KINDS = {kind.__struct_config__.tag: kind for kind in config.EngineConfig.__args__}

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([\w./-]+\.(?:py|toml|json))(?:::([\w.]+))?`")


def section(heading: str) -> str:
    """The text under ``heading`` to the next one."""
    _, found, rest = CONFIGURATION.partition(f"\n{heading}")
    assert found, heading
    return re.split(r"\n#+ ", rest, maxsplit=1)[0]


def keys(text: str) -> set[str]:
    """What stands in the first cell of each row of the tables in ``text``."""
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


def members(kind: type[msgspec.Struct]) -> set[str]:
    return {field.encode_name for field in msgspec.structs.fields(kind)}


def test_every_setting_is_documented_and_no_other() -> None:
    assert keys(section("## Top level")) == members(config.Config)
    assert keys(section("## `[server]`")) == members(config.Server)
    assert members(config.Services) == {"s3", "targets"}
    assert keys(section("## `[master_key]`")) == members(config.MasterKeySource)
    assert keys(section("## `[services.s3]`")) == members(config.S3)
    assert keys(section("## `[services.targets.SERVICE]`")) == members(config.Target)
    assert keys(section("## `[records]`")) == members(config.Records)
    assert keys(section("## `[telemetry]`")) == members(config.Telemetry)
    assert keys(section("## `[mail]`")) == members(config.Mail)
    assert keys(section("## `[endpoints]`")) == members(config.Endpoints)
    assert keys(section("## `[access]`")) == members(config.ModelAccess)
    assert keys(section("## `[quotas]`")) == members(config.Quotas)
    assert keys(section("## `[capacity]`")) == members(config.Capacity)
    assert keys(section("## `[training]`")) == members(config.Training)
    assert keys(section("## `[[bind]]`")) == members(config.Binding)


def test_every_service_elsewhere_is_documented_and_no_other() -> None:
    told = section("## `[services.targets.SERVICE]`").split("targets:")[1].split(".")[0]
    assert set(re.findall(r"`(\w+)`", told)) == set(get_args(config.TargetService))


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_of_an_engine_is_documented_and_no_other(kind: str) -> None:
    assert keys(section(f'### `kind = "{kind}"`')) == members(KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_of_engines_are_the_documented_ones(kind: str) -> None:
    text = section(f'### `kind = "{kind}"`')
    for field in msgspec.structs.fields(KINDS[kind]):
        (told,) = re.findall(rf"^\| `{field.encode_name}` \| ([^|]+) \|", text, re.MULTILINE)
        if field.default is msgspec.NODEFAULT:
            assert told == "required", field.name
        elif field.default is not None:
            assert told == f"`{field.default:g}`", field.name


def test_the_examples_are_a_valid_configuration(tmp_path: Path) -> None:
    examples = re.findall(r"```toml\n(.*?)```", CONFIGURATION, re.DOTALL)
    assert len(examples) == len(KINDS) + 9
    whole = [*re.findall(r"```toml\n(.*?)```", README, re.DOTALL), "\n".join(examples)]
    for number, text in enumerate(whole):
        file = tmp_path / f"{number}.toml"
        file.write_text(text, encoding="utf-8")
        loaded = config.load(file, environment={})
        assert {binding.engine for binding in loaded.bind} <= loaded.engines.keys()


def test_the_default_engines_are_documented() -> None:
    text = section("## `[engines.NAME]`")
    for name, engine in config.DEFAULT_ENGINES.items():
        assert isinstance(engine, config.Llama | config.Onnx)
        kind = engine.__struct_config__.tag
        assert re.search(rf"`{name}`\s\(kind\s`{kind}`,\smodel\s`{engine.model}`\)", text)
        assert engine.model in known_models()


def test_every_variable_is_documented_and_no_other() -> None:
    """Variables are found in the source, as string constants that are a variable's whole name."""
    found = {
        node.value
        for file in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"OUTCROP_[A-Z_]+[A-Z]", node.value)
    }
    assert keys(section("## Environment variables")) == found


def commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(command, typer.core.TyperGroup):
        for name, each in command.commands.items():
            yield from commands(each, (*words, name))
    else:
        yield " ".join(words), command


COMMANDS = dict(commands(typer.main.get_command(build()), ("outcrop",)))


def test_every_command_is_documented_and_no_other() -> None:
    rows = keys(section("## Commands"))
    assert {re.sub(r" \[?[A-Z].*", "", row) for row in rows} == COMMANDS.keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_a_command_is_documented_and_no_other(name: str) -> None:
    (row,) = re.findall(rf"^\| `{name}(?: [^`]*)?` \|.*$", section("## Commands"), re.MULTILINE)
    options = row.rsplit("|", 2)[1]
    assert set(re.findall(r"--[a-z0-9-]+", options)) == {
        option
        for parameter in COMMANDS[name].params
        if isinstance(parameter, typer.core.TyperOption)
        for option in parameter.opts
        if option.startswith("--")
    }


def test_every_dialect_is_documented_and_no_other() -> None:
    listed = {each.dialect for each in load_models().by_id.values() if _is_spoken(each)}
    source = (SOURCE / "dialects" / "__init__.py").read_text(encoding="utf-8")
    registered = set(re.findall(r'^    "(\w+)": \w+,$', source, re.MULTILINE))
    assert keys(section("## Dialects")) == registered
    assert listed == registered


def _is_spoken(model: Model) -> bool:
    for find in (text_dialect, embedding_dialect):
        try:
            find(model)
        except NoDialect:
            continue
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_function_named_is_there(page: Path) -> None:
    for path, name in _CODE.findall(page.read_text(encoding="utf-8")):
        if "/" not in path:
            continue
        places = [folder / path for folder in (ROOT, SOURCE) if (folder / path).exists()]
        assert places, f"{page.name}: {path}"
        assert not name or name in names(places[0]), f"{page.name}: {path}::{name}"


@cache
def names(file: Path) -> frozenset[str]:
    """Functions and classes of a module, and ``Class.method``."""
    found: set[str] = set()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
    return frozenset(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_are_short(page: Path) -> None:
    lines = page.read_text(encoding="utf-8").splitlines()
    prose = [line for line in lines if not line.startswith("|")]
    assert max(map(len, prose)) <= 140


def test_the_readme_names_the_bedrock_operations_that_answer() -> None:
    told = README.split("This version answers")[1].split(".")[0]
    assert set(re.findall(r"[A-Z]\w+", told)) == {
        name for service in BEDROCK for name in names_by_service().get(service, [])
    }


def test_the_readme_names_the_services_that_answer() -> None:
    told = README.split("Around it answer")[1].split(".")[0]
    assert set(re.findall(r"`([\w-]+)`", told)) == names_by_service().keys() - {*BEDROCK}


def test_the_page_of_operations_is_what_the_handlers_are() -> None:
    page = ROOT / "docs" / "operations.md"
    assert page.read_text(encoding="utf-8") == render_operations()


def test_the_readme_names_every_folder() -> None:
    tree = README.split("```\nsrc/outcrop/\n")[1]
    inside, outside = tree.split("```")[0].split("\ntests/")
    named = set(re.findall(r"^  (\w+)/ ", inside, re.MULTILINE))
    assert named == {folder.parent.name for folder in SOURCE.glob("*/__init__.py")}
    assert set(re.findall(r"^(\w+)/ ", outside, re.MULTILINE)) == {
        folder.name
        for folder in ROOT.iterdir()
        if folder.is_dir() and folder.name[0] not in "._" and folder.name not in ("src", "tests")
    }


def test_decisions_are_numbered_and_of_one_form() -> None:
    files = sorted((ROOT / "docs" / "decisions").iterdir())
    assert [file.name[:4] for file in files] == [f"{n:04}" for n in range(1, len(files) + 1)]
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert text.startswith(f"# {file.name[:4]}: ")
        assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == [
            *("Context", "Decision", "Consequences", "Refused")
        ]
        assert len(text.splitlines()) <= 60, "a decision is under a page"
