from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import greendata as package
from greendata.cli.boundary import run
from greendata.cli.commands import greendata

COMMANDS = sorted(greendata.commands)


def test_commands_are_those_of_the_design() -> None:
    assert COMMANDS == [
        "apply",
        "audit",
        "dedup",
        "demo",
        "doctor",
        "duplicates",
        "export-jsonl",
        "footprint",
        "index",
        "inventory",
        "match",
        "metrics",
        "objects",
        "overlap",
        "plan",
        "policy",
        "purge",
        "recompress",
        "report",
        "restore-order",
        "resume",
        "run",
        "runs",
        "scan",
        "show",
        "undo",
        "verify",
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_the_shared_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"\n    greendata {name}" in text
    assert "Example" in text
    for option in ("--json", "--log-json", "--catalog", "--verbose", "--quiet"):
        assert option in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    unexplained = [
        parameter.name
        for parameter in greendata.commands[name].params
        if parameter.param_type_name == "option" and not getattr(parameter, "help", None)
    ]
    assert unexplained == []


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"greendata, version {package.__version__}\n"
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["version"] == package.__version__


def test_help_lists_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--help"]) == 0
    assert "3 done but some objects could not be read" in capsys.readouterr().out


def test_no_arguments_shows_help_and_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 2
    captured = capsys.readouterr()
    assert "Usage: greendata" in captured.out + captured.err


def test_module_and_console_script_start_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "greendata", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
    assert done.stdout == f"greendata, version {package.__version__}\n"
