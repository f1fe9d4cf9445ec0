from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from greendata.recompress.workfolder import work_folder

DYING = """
import os, signal
from greendata.recompress.workfolder import work_folder
with work_folder("test") as folder:
    (folder / "large").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    done = subprocess.run([sys.executable, "-c", DYING])
    assert done.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert (left / "large").exists()
    with work_folder("test") as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_what_is_in_use_or_is_not_ours_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / "in-use").write_text("")
    (tmp_path / "greendata-test-link").symlink_to(other)
    (tmp_path / "greendata-test-new").mkdir()
    with work_folder("test") as first, work_folder("test") as second:
        assert first != second
        assert first.exists()
        assert second.exists()
    assert other.exists()
    assert (tmp_path / "greendata-test-new").exists()
