"""``scripts/try_stores``, without installing first, on the tests' servers and a small shard."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest

from scripts import try_stores
from tests.forking import run_forked
from tests.jobs.made_scans import text, write_lines

SCRIPT = Path(try_stores.__file__)


def test_every_command_does_what_it_should_in_both_stores(
    s3_endpoint: str, azure_connection: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def show(*arguments: str) -> int:
        # moto fails the first large race; Azurite would pass a dozen, 2 GB in all
        module = "tests.jobs.small_races" if arguments[-1].startswith("az:") else "greendata"
        done = run_forked(module, *arguments, environment=os.environ)
        ran.append(arguments[0])
        assert done.stdout, done.stderr
        if arguments[-1].startswith("s3:") and arguments[0] == "doctor":
            # on a busy machine moto may win all its races by chance; that it loses them is for
            # test_doctor_finds_what_a_server_ignores
            assert done.returncode in (0, try_stores.EXIT_UNSAFE)
            return try_stores.EXIT_UNSAFE
        return done.returncode

    monkeypatch.setattr(try_stores, "show", show)
    monkeypatch.setattr(try_stores, "moto_server", lambda: nullcontext(s3_endpoint))
    monkeypatch.setattr(try_stores, "azurite_server", lambda: nullcontext(azure_connection))
    shard = write_lines(tmp_path / "a.jsonl", [text(1), text(2), text(1)])
    with patch.dict(os.environ):
        assert try_stores.main([str(shard)]) == 0
    assert ran == ["scan", "scan", "overlap", "inventory", "objects", "doctor", "doctor"]


def test_a_command_is_shown_and_run(capfd: pytest.CaptureFixture[str]) -> None:
    assert try_stores.show("--version") == 0
    printed = capfd.readouterr().out.splitlines()
    assert printed[1] == "$ greendata --version"
    assert printed[2].startswith("greendata")
    assert try_stores.show("--no-such-option") == 2


def test_the_script_finds_this_repository_from_anywhere(tmp_path: Path) -> None:
    program = f"import runpy; print(runpy.run_path({str(SCRIPT)!r})['REPOSITORY'])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(SCRIPT.parents[1]), done.stderr


def test_shards_are_made_of_the_standard_library(tmp_path: Path) -> None:
    assert try_stores.made_shard(tmp_path).read_text().count("\n") > 100
