"""The plan that a run keeps beside its journals."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.errors import ObjectNotFoundError
from greendata.execute.runstate import run_uri
from greendata.stores.transfer import download

if TYPE_CHECKING:
    from greendata.stores.base import Store

ACTIONS = "actions.parquet"


@contextlib.contextmanager
def kept_actions(store: Store, runs_uri: str, run_id: str) -> Iterator[Path]:
    """The table of a run's actions as a local file, as long as the block lasts.

    Raises:
        ObjectNotFoundError: there is no such run.
    """
    with tempfile.TemporaryDirectory(prefix="greendata-plan-") as folder:
        path = Path(folder) / ACTIONS
        try:
            uri = run_uri(runs_uri, run_id, "plan", ACTIONS)
            download(store, uri, path, size_bytes=store.head(uri).size_bytes)
        except ObjectNotFoundError as error:
            raise ObjectNotFoundError(
                f"{run_id}: there is no such run.", hint="See: greendata runs"
            ) from error
        yield path
