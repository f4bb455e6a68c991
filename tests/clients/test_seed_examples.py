"""The documents' own programs and commands for the API, run unmodified against the real models.

Left out, with the reason: RUN-011 (``aws configure`` asks a person), RUN-027 (an image model; no
engine for images yet).
"""

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).resolve().parents[3] / "shared" / "seed-examples"

pytestmark = pytest.mark.engine


def _run(command: list[str], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def _python(example: str, gateway: Any, folder: Path) -> str:
    return _run([sys.executable, str(EXAMPLES / f"{example}.py")], gateway.environment, folder)


def _shell(example: str, gateway: Any, aws: Path, folder: Path) -> str:
    environment = dict(gateway.environment)
    environment["PATH"] = f"{aws.parent}:{environment['PATH']}"
    return _run(["sh", str(EXAMPLES / f"{example}.sh")], environment, folder)


@pytest.mark.parametrize("example", ["RUN-014", "RUN-022", "RUN-024", "RUN-025"])
def test_a_program_prints_the_text_of_the_answer(
    example: str, gateway: Any, tmp_path: Path
) -> None:
    assert len(_python(example, gateway, tmp_path).split()) > 5


@pytest.mark.parametrize("example", ["RUN-015", "RUN-017", "RUN-019"])
def test_a_program_reads_the_catalog(example: str, gateway: Any, tmp_path: Path) -> None:
    assert _python(example, gateway, tmp_path) == ""


def test_a_program_prints_the_llama_body(gateway: Any, tmp_path: Path) -> None:
    printed = _python("RUN-026", gateway, tmp_path)
    for member in ("generation", "prompt_token_count", "generation_token_count", "stop_reason"):
        assert f"'{member}':" in printed


@pytest.mark.parametrize("example", ["RUN-023", "RUN-205"])
def test_a_program_prints_chunk_after_chunk(example: str, gateway: Any, tmp_path: Path) -> None:
    lines = _python(example, gateway, tmp_path).splitlines()
    assert len(lines) > 20
    assert all("'completion':" in line for line in lines)
    assert "amazon-bedrock-invocationMetrics" in lines[-1]


@pytest.mark.parametrize("example", ["RUN-016", "RUN-018"])
def test_a_command_prints_the_catalog(
    example: str, gateway: Any, aws_v2: Path, tmp_path: Path
) -> None:
    assert "anthropic.claude-v2" in _shell(example, gateway, aws_v2, tmp_path)


def test_the_claude_command_writes_at_most_300_tokens(
    gateway: Any, aws_v2: Path, tmp_path: Path
) -> None:
    _shell("RUN-020", gateway, aws_v2, tmp_path)
    assert '"completion":' in (tmp_path / "invoke-model-output.txt").read_text()


def test_the_llama_command_writes_its_body(gateway: Any, aws_v1: Path, tmp_path: Path) -> None:
    """The document's form without ``--cli-binary-format`` is AWS CLI v1's."""
    _shell("RUN-021", gateway, aws_v1, tmp_path)
    assert '"generation":' in (tmp_path / "invoke-model-output.txt").read_text()


def test_every_example_of_these_chapters_is_run_here() -> None:
    rows = (EXAMPLES / "index.md").read_text(encoding="utf-8").splitlines()
    wanted = {
        row.split("|")[1].strip()
        for row in rows
        if row.startswith("| RUN-")
        and row.split("|")[2].strip().split("]")[0].endswith((".py", ".sh"))
        and any(chapter in row.split("|")[5] for chapter in ("AP-", "IP-", "EM-"))
    }
    source = Path(__file__).read_text(encoding="utf-8")
    assert wanted, shlex.join(sorted(wanted))
    assert not {example for example in wanted if example not in source}
