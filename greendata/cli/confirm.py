"""Asking before something is changed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from greendata.errors import UsageError

if TYPE_CHECKING:
    from greendata.cli.settings import Settings


def confirm(question: str, settings: Settings) -> None:
    """Ask on the terminal; anything but yes ends the command without a change.

    Raises:
        UsageError: nobody is there to answer.
    """
    if settings.is_json or not sys.stdin.isatty():
        raise UsageError(
            "Nobody is there to confirm it; nothing was changed.", hint="Add --yes to go ahead."
        )
    if not click.confirm(question, default=False, err=True):
        raise click.exceptions.Exit(0)
