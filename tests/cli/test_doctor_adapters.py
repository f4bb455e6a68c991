"""``outcrop doctor`` on the folders through which adapters go to servers."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from outcrop.cli.doctor_adapters import judge_folder

_MOUNTS = r"""
22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/root rw,discard
25 22 0:23 / /dev/shm rw,nosuid,nodev shared:4 - tmpfs tmpfs rw,size=1024k
31 22 0:30 / /srv/in\040memory rw - ramfs none rw
40 22 259:2 / /data rw shared:9 - xfs /dev/nvme1n1 rw
41 40 0:44 / /data/adapters rw - tmpfs tmpfs rw
42 41 259:3 / /data/adapters rw - ext4 /dev/sdb rw
""".strip()


def doctor(outcrop: typer.Typer, folder: Path, lora_dir: str) -> str:
    toml = f'[engines.big]\nkind = "openai"\nurl = "http://127.0.0.1:9/v1"\nlora_dir = "{lora_dir}"'
    (folder / "outcrop.toml").write_text(toml, encoding="utf-8")
    result = CliRunner().invoke(outcrop, ["doctor", "--config", str(folder / "outcrop.toml")])
    assert isinstance(result.exception, SystemExit | None)
    return result.output


def test_no_word_of_adapters_where_no_server_takes_them(outcrop: typer.Typer) -> None:
    assert "pass through" not in CliRunner().invoke(outcrop, ["doctor"]).output


def test_a_folder_in_memory_is_fine(outcrop: typer.Typer, tmp_path: Path) -> None:
    output = doctor(outcrop, tmp_path, "/dev/shm/outcrop")
    assert "ok  adapters for engine big pass through /dev/shm/outcrop, in memory" in output


def test_a_folder_that_is_not_in_memory_is_told(outcrop: typer.Typer, tmp_path: Path) -> None:
    output = doctor(outcrop, tmp_path, "/proc/outcrop")
    assert "!!  adapters for engine big pass through /proc/outcrop, unsealed and not in" in output
    assert "Let lora_dir be in memory, such as /dev/shm/outcrop." in output


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/adapters", "ext4"),
        ("/dev/shmore", "ext4"),
        ("/data", "xfs"),
        ("/data/adapters/of/models", "ext4"),
        ("/srv/in", "ext4"),
    ],
)
def test_a_disk_is_told_by_its_file_system(folder: str, kind: str) -> None:
    finding = judge_folder("big", Path(folder), _MOUNTS)
    assert f"not in memory ({kind})" in finding.what
    assert finding.mend


@pytest.mark.parametrize("folder", ["/dev/shm", "/dev/shm/a/b", "/srv/in memory/a"])
def test_memory_is_known_by_its_file_system(folder: str) -> None:
    finding = judge_folder("big", Path(folder), _MOUNTS)
    assert finding.what.endswith("in memory")
    assert not finding.mend


def test_where_nothing_tells_it_nothing_is_claimed() -> None:
    finding = judge_folder("big", Path("/dev/shm"), None)
    assert "look yourself" in finding.what
