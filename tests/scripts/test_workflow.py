"""The example workflow for pull requests, its steps run as GitHub would."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

WORKFLOW = Path(__file__).parents[2] / ".github/workflows/policies.yml"
EXPIRE = """\
version: 1
policies:
  - name: scratch
    where: age_days >= {days}
    action: {{expire: {{}}}}
"""
CASES = """\
version: 1
cases:
  - name: old
    given: {uri: "s3://b/k", age_days: 1000}
    expect: {decisions: {scratch: {expire: {}}}}
"""
_PLAN = "What the plan is"


def steps() -> dict[str, Mapping[str, Any]]:
    found = YAML(typ="safe").load(WORKFLOW)["jobs"]["review"]["steps"]
    return {step["name"]: step for step in found if "name" in step}


class Checkout:
    """A clone of a repository of policies as an action checks out a pull request: its last commit,
    with the base branch at its origin."""

    def __init__(self, folder: Path) -> None:
        self.origin, self.folder = folder / "origin", folder / "work"
        self.summary = folder / "summary.md"
        programs = folder / "bin"
        for made in (self.origin / "policies", programs):
            made.mkdir(parents=True)
        program = programs / "greendata"
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m greendata "$@"\n')
        program.chmod(0o755)
        data = folder / "data"
        data.mkdir()
        for name, days in (("a.txt", 500), ("b.txt", 50)):
            (data / name).write_text(name)
            at = 1_800_000_000 - days * 86_400
            os.utime(data / name, (at, at))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT")},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "PYTHONPATH": str(WORKFLOW.parents[2]),
            "GITHUB_BASE_REF": "main",
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GREENDATA_CATALOG": str(folder / "catalog"),
        }
        self.git("init", "-q", "-b", "main", ".", folder=self.origin)
        self.shell(f"greendata inventory '{data}'", folder)

    def git(self, *arguments: str, folder: Path) -> None:
        person = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        subprocess.run(
            ["git", *person, *arguments],
            cwd=folder, check=True, timeout=60, env=self.environment, capture_output=True,
        )  # fmt: skip

    def commit(self, branch: str, days: int) -> None:
        self.git("checkout", "-q", "-B", branch, folder=self.origin)
        (self.origin / "policies/scratch.yaml").write_text(EXPIRE.format(days=days))
        (self.origin / "policies/scratch.cases.yaml").write_text(CASES)
        self.git("add", "-A", folder=self.origin)
        self.git("commit", "-q", "-m", f"after {days} days", folder=self.origin)

    def clone(self) -> None:
        source = f"file://{self.origin}"
        self.git("clone", "-q", "--depth", "1", "-b", "change", source, str(self.folder),
                 folder=self.origin)  # fmt: skip

    def restart(self) -> None:
        """Another pull request: nothing is left of the first one's work folder."""
        shutil.rmtree(self.folder)
        self.summary.unlink()

    def shell(self, text: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", text],
            cwd=folder or self.folder, env=self.environment, timeout=120,
            capture_output=True, text=True, check=False,
        )  # fmt: skip


def test_a_pull_request_shows_its_plan_and_what_differs_from_the_base(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    checkout.git("commit", "-q", "--allow-empty", "-m", "nothing yet", folder=checkout.origin)
    checkout.commit("change", 100)
    checkout.clone()
    step = steps()[_PLAN]
    assert step["if"] == "vars.GREENDATA_CATALOG != ''"
    for name in ("Every mistake, with its line", "Every case beside a policy", _PLAN):
        done = checkout.shell(steps()[name]["run"])
        assert done.returncode == 0, done.stderr
    shown = checkout.summary.read_text()
    assert "**1 of 2 objects** in scope" in shown
    assert "no plan of the base branch" in shown

    checkout.restart()
    checkout.commit("main", 900)
    checkout.commit("change", 100)
    checkout.clone()
    done = checkout.shell(step["run"])
    assert done.returncode == 0, done.stderr
    _, _, difference = checkout.summary.read_text().partition("what changes")
    assert "on the same inventory: 1 actions more, 0 fewer" in difference
