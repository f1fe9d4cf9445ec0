"""What runs a pass every night: entries for schedulers, rendered from templates of the package."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib import resources
from string import Template

SCHEDULERS = ("cron", "systemd", "k8s", "github", "airflow")


def render_schedule(scheduler: str, policies: Sequence[str]) -> str:
    """The entry of one of ``SCHEDULERS`` that runs these policies each night.

    Names are quoted for the place where they stand; each template says what else to fill in.
    """
    folder = resources.files("greendata.jobs") / "schedules"
    template = Template((folder / f"{scheduler}.txt").read_text(encoding="utf-8"))
    arguments = [*policies, "--canary", "1%"]
    return template.substitute(
        command=shlex.join(["greendata", "run", *arguments]),
        # a percent sign ends a command in crontab, and is a specifier in systemd
        cron_command=shlex.join(["greendata", "run", *arguments]).replace("%", "\\%"),
        systemd_command=shlex.join(["greendata", "run", *arguments]).replace("%", "%%"),
        bash_command=_quoted(
            shlex.join(["greendata", "run", *arguments, "--no-wait"]).replace("{", "{{'{'}}")
        ),
        list_arguments=", ".join(_quoted(text) for text in ["run", *arguments]),
    )


def _quoted(text: str) -> str:
    """A JSON string, which YAML reads too."""
    return json.dumps(text)
