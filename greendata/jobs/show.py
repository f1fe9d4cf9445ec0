"""``greendata show``: a plan as it was written, or the difference between two."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.errors import ObjectNotFoundError, PlanError
from greendata.jobs.results import MEMORY_BYTES
from greendata.sql import temporary_duckdb

if TYPE_CHECKING:
    from greendata.plan.compare import Difference
    from greendata.plan.document import PlanDocument

LARGEST_DOCUMENT_BYTES = 64 * 2**20
"""A plan's document holds policies and totals, no objects."""


def read_plan(directory: Path) -> PlanDocument:
    """A plan, its tables checked against what its document says of them.

    Raises:
        ObjectNotFoundError: there is none.
        PlanError: it is not all there, or was changed.
    """
    from greendata.plan.document import ACTIONS_NAME, DECISIONS_NAME, PLAN_NAME, read_document

    path = directory / PLAN_NAME
    raw = _read(path, directory)
    if len(raw) > LARGEST_DOCUMENT_BYTES:
        raise PlanError(f"{path}: is larger than {LARGEST_DOCUMENT_BYTES} bytes")
    document = read_document(raw, str(path))
    for name in (ACTIONS_NAME, DECISIONS_NAME):
        found = document.file(name)
        try:
            with (directory / name).open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except OSError as error:
            raise PlanError(
                f"{directory / name}: cannot be read: {error.strerror}", hint="Plan again."
            ) from error
        if digest != found.sha256:
            raise PlanError(
                f"{directory / name}: is not the file that was planned", hint="Plan again."
            )
    return document


def compare(directory: Path, against: Path) -> Difference:
    """What the plan in ``directory`` has that the one in ``against`` has not, and the reverse.

    Raises:
        PlanError: they are on different inventories, or one was changed.
    """
    from greendata.plan.compare import compare_plans
    from greendata.plan.document import ACTIONS_NAME

    plan, other = read_plan(directory), read_plan(against)
    with temporary_duckdb(directory, memory_bytes=MEMORY_BYTES, threads=2) as connection:
        return compare_plans(
            connection,
            (plan, str(directory / ACTIONS_NAME)),
            (other, str(against / ACTIONS_NAME)),
        )


def _read(path: Path, directory: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            return stream.read(LARGEST_DOCUMENT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ObjectNotFoundError(
            f"{directory}: no plan there", hint="Make one: greendata plan POLICY… -o DIR"
        ) from error
    except OSError as error:
        raise PlanError(f"{path}: cannot be read: {error.strerror}") from error
