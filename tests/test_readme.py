"""Every command of the README runs, in the order in which it stands there.

They run in one temporary folder with small data of the names that the README uses. What is
replaced, and why:

* ``scripts/demo`` runs ``greendata demo`` on 1 MB, because the script installs into the
  repository first; that it is the same command is checked in its text.
* ``scripts/test`` is what runs this test; it and ``scripts/check`` are only checked to be there,
  executable and of valid syntax.
* ``scripts/try_stores`` is run by ``tests/scripts/test_try_stores.py``, without installing first.
* ``source .venv/bin/activate`` puts ``greendata`` on the path; here a two-line script does, and
  a command that needs no shell is run by a process that has the libraries loaded.
* ``policies/`` is copied beside the data, with the README's policy in place of the example.
* ``scripts/bench/…`` take minutes; their files must exist and compile.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from tests.forking import run_forked

REPOSITORY = Path(__file__).parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KNOWN_LANGUAGES = ("sh", "text", "yaml", "python", "json")
NEEDS_SHELL = re.compile(r"[|<>&;$]")
SCRIPTS_CHECKED_ONLY = ("scripts/test", "scripts/check")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    language: str
    content: str


def blocks() -> list[Block]:
    return [Block(language=found[1], content=found[2]) for found in BLOCK.finditer(README)]


def commands(block: Block) -> list[str]:
    """The lines of a shell block, without comments; lines that end in a backslash go on."""
    joined = block.content.replace("\\\n", " ")
    lines = (line.split("  #")[0].strip() for line in joined.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def texts(start: int, stop: int) -> list[str]:
    return [" ".join(f"t{(i * 7 + j * j) % 997}" for j in range(60)) for i in range(start, stop)]


def write_data(folder: Path) -> None:
    """``data/crawl`` as zstd JSON Lines, ``data/books`` as Parquet, and ``raw`` as JSON Lines."""
    (folder / "data" / "crawl").mkdir(parents=True)
    (folder / "data" / "books").mkdir()
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts(0, 40))
    packed = zstandard.ZstdCompressor().compress(lines.encode())
    (folder / "data" / "crawl" / "part-0.jsonl.zst").write_bytes(packed)
    (folder / "raw").mkdir()
    (folder / "raw" / "part-0.jsonl").write_text(
        "".join(
            json.dumps({"id": row, "text": text}) + "\n" for row, text in enumerate(texts(0, 99))
        )
    )
    table = pa.table({"text": texts(20, 60), "id": list(range(40))})
    pq.write_table(table, folder / "data" / "books" / "part-0.parquet")


def write_yaml(folder: Path, content: str) -> None:
    """The file that a block names in its first line, else the configuration."""
    named = re.match(r"# (\S+\.yaml)\n", content)
    path = folder / (named[1] if named else "greendata.yaml")
    shutil.copytree(REPOSITORY / "policies", folder / "policies", dirs_exist_ok=True)
    path.write_text(content)


def write_launcher(folder: Path) -> dict[str, str]:
    """A ``greendata`` on the path that runs this repository, and the environment for it."""
    launcher = folder / "bin" / "greendata"
    launcher.parent.mkdir()
    python = shlex.quote(sys.executable)
    launcher.write_text(f'#!/bin/sh\nexec {python} -m greendata "$@"\n')
    launcher.chmod(0o755)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("GREENDATA_")}
    return kept | {
        "PATH": f"{launcher.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONWARNINGS": "error",
        "TMPDIR": str(folder),
    }


def run(command: str, folder: Path, environment: dict[str, str]) -> str:
    if command.startswith("greendata ") and not NEEDS_SHELL.search(command):
        done = run_forked(*shlex.split(command), environment=environment, folder=folder)
    else:
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, text=True
        )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check_script(name: str) -> None:
    path = REPOSITORY / name
    assert os.access(path, os.X_OK), name
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def substituted(command: str) -> str | None:
    """What runs in place of a command; None when it was checked in another way."""
    first, *rest = shlex.split(command)
    if first in SCRIPTS_CHECKED_ONLY:
        check_script(first)
        return None
    if first == "scripts/demo":
        check_script(first)
        assert "-m greendata demo" in (REPOSITORY / first).read_text()
        return shlex.join(["greendata", "demo", "--max-bytes", "1MB", *rest])
    if first == "scripts/try_stores":
        check_script(first)
        assert "scripts/try_stores.py" in (REPOSITORY / first).read_text()
        return None
    if first == "source":
        assert rest == [".venv/bin/activate"]
        return None
    if rest and rest[0].startswith("scripts/bench/"):
        compile((REPOSITORY / rest[0]).read_text(), rest[0], "exec")
        return None
    return command


def test_readme_begins_with_the_purpose_and_the_two_commands() -> None:
    first = blocks()[0]
    assert README.startswith("# greendata\n")
    assert [command.split()[0] for command in commands(first)] == ["scripts/demo", "scripts/test"]


def test_readme_has_blocks_of_known_kinds_only() -> None:
    assert {block.language for block in blocks()} <= set(KNOWN_LANGUAGES)
    assert README.count("\n```") == 2 * len(blocks())


@pytest.mark.xdist_group("readme")
def test_readme_commands_and_examples_run_in_their_order(tmp_path: Path) -> None:
    write_data(tmp_path)
    environment = write_launcher(tmp_path)
    ran = 0
    for block in blocks():
        if block.language == "yaml":
            write_yaml(tmp_path, block.content)
        elif block.language == "python":
            program = shlex.join([sys.executable, "-c", block.content])
            assert run(program, tmp_path, environment).startswith("20 of 80\n")
        elif block.language == "sh":
            for command in commands(block):
                replaced = substituted(command)
                if replaced is not None:
                    run(replaced, tmp_path, environment)
                    ran += 1
    assert ran > 10


@pytest.mark.parametrize(
    "name",
    [
        "scripts/demo",
        "scripts/test",
        "scripts/check",
        "scripts/try_stores",
        "scripts/refresh_prices",
        ".ci/run",
    ],
)
def test_scripts_are_executable_and_of_valid_syntax(name: str) -> None:
    check_script(name)


def test_readme_states_every_exit_code_the_program_has() -> None:
    from greendata import errors

    codes = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.GreendataError)
    }
    stated = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.MULTILINE)}
    assert codes | {0, 1, 2, 3} <= stated


def test_lock_pins_every_package_with_hashes_and_names_no_place() -> None:
    lock = (REPOSITORY / "scripts" / "requirements.lock").read_text()
    entries = re.split(r"\n(?=\S)", lock.strip())
    assert len(entries) > 20
    assert [entry for entry in entries if "==" not in entry or "--hash=sha256:" not in entry] == []
    assert not re.search(r"https?:|file:|--index|--find-links|/", lock)


def test_lock_covers_what_pyproject_asks_for() -> None:
    import tomllib

    document = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    groups = document["dependency-groups"]
    asked = [*document["project"]["dependencies"], *groups["test"], *groups["check"]]
    asked += document["build-system"]["requires"]
    lock = (REPOSITORY / "scripts" / "requirements.lock").read_text()
    locked = {name.replace(".", "-") for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}
    names = {re.split(r"[<>=~!\[; ]", item)[0].replace(".", "-").lower() for item in asked}
    assert names <= locked
