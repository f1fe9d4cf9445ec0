from __future__ import annotations

from pathlib import Path

import click
import pytest

from greendata.cli.commands import greendata
from greendata.cli.options import shared_options
from greendata.cli.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, and nothing of this program in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GREENDATA_CATALOG", raising=False)
    monkeypatch.delenv("GREENDATA_CONFIG", raising=False)


def parse(*arguments: str) -> Settings:
    """The settings that a command sees."""
    settings = Settings()

    @click.command()
    @shared_options
    def look() -> None:
        """Only parses."""

    group = click.Group("greendata", commands={"look": look}, params=greendata.params)
    with group.make_context("greendata", list(arguments), obj=settings) as context:
        group.invoke(context)
    return settings


def test_catalog_is_flag_then_environment_then_file_then_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse("look").catalog == ".greendata"
    (tmp_path / "greendata.yaml").write_text("catalog: from-file\n")
    assert parse("look").catalog == f"{tmp_path}/from-file"
    monkeypatch.setenv("GREENDATA_CATALOG", "from-environment")
    assert parse("look").catalog == "from-environment"
    assert parse("--catalog", "before", "look").catalog == "before"
    assert parse("look", "--catalog", "after").catalog == "after"


def test_config_is_the_named_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "greendata.yaml").write_text("catalog: near\n")
    other = tmp_path / "other" / "my.yaml"
    other.parent.mkdir()
    other.write_text("catalog: named\n")
    assert parse("--config", str(other), "look").catalog == f"{other.parent}/named"
    monkeypatch.setenv("GREENDATA_CONFIG", str(other))
    assert parse("look").catalog == f"{other.parent}/named"


def test_flags_count_before_and_after_the_command() -> None:
    assert parse("--json", "look").is_json
    assert parse("look", "--json").is_json
    assert parse("look", "--log-json").is_log_json
    assert not parse("look").is_json
    assert parse("-v", "look", "-v").verbosity == 2
    assert parse("look", "-q").verbosity == -1


def test_suggested_commands_name_a_chosen_catalog() -> None:
    assert parse("look").catalog_argument == ""
    assert parse("look", "--catalog", "my place").catalog_argument == " --catalog 'my place'"
