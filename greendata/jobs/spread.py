"""The runner of a scan, with the folder in which its tasks leave files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from greendata.jobs.accounting import Moment
from greendata.runners import usage
from greendata.runners.exchange import Exchange
from greendata.runners.ray import RayRunner, RaySettings, check_ray
from greendata.stores.base import store_error

if TYPE_CHECKING:
    from greendata.config import StoreSettings
    from greendata.jobs.request import ScanRequest
    from greendata.progress import Progress
    from greendata.runners.base import Runner

_STORE_SHARE = 4
"""Objects in flight get so many-th part of the memory."""


def check_runner(request: ScanRequest) -> None:
    """Fail early where the runner asked for cannot be had.

    Raises:
        ExtraMissingError, UsageError, StoreUnreachableError: as ``check_ray``.
    """
    if request.runner == "ray":
        check_ray(request.ray_address)


def open_spread(request: ScanRequest, folder: Path, warn: Callable[[str], None]) -> Spread | None:
    """What spreads the work of a scan; None where its own threads do it.

    Args:
        folder: of this scan; files of tasks go there unless the request names a folder for them.
    """
    if request.runner != "ray":
        return None
    settings = RaySettings(
        address=request.ray_address,
        workers=request.worker_count,
        store_bytes=request.memory_bytes // _STORE_SHARE,
    )
    given = request.ray_folder
    return Spread(
        runner=RayRunner(settings, warn),
        folder=Path(given) / f"greendata-{folder.name}" if given else folder / "exchange",
        stores=request.stores,
        warn=warn if given else None,
    )


@dataclass(slots=True, kw_only=True)
class Spread:
    """Work for other processes: who runs it, and where files go.

    Attributes:
        folder: made by ``start``, removed by ``close``.
        stores: how tasks reach object stores.
        warn: told when tasks do not see the folder; None: nobody asked for that.
    """

    runner: Runner
    folder: Path
    stores: tuple[StoreSettings, ...] = ()
    warn: Callable[[str], None] | None = None
    _exchange: Exchange | None = None

    @property
    def is_started(self) -> bool:
        """Whether the cluster is ready."""
        return self._exchange is not None

    def start(self) -> Exchange:
        """Have the cluster ready, once; files that tasks leave."""
        if self._exchange is None:
            self.runner.start()
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                is_shared = self.runner.sees(self.folder)
            except OSError as error:
                raise store_error(str(self.folder), error) from error
            if self.warn and not is_shared:
                self.warn(f"{self.folder}: not all workers see it; files go through this machine.")
            self._exchange = Exchange(self.folder, is_shared=is_shared)
        return self._exchange

    def close(self) -> None:
        """End the tasks, then remove their files."""
        self.runner.close()
        if self._exchange is not None:
            self._exchange.close()
            self._exchange = None


def start(spread: Spread | None, progress: Progress) -> Moment:
    """Have the cluster ready; what that took of this process."""
    before = Moment.now()
    if spread is not None and not spread.is_started:
        progress.stage("starting the cluster")
        spread.start()
    return Moment.now() - before


def close(spread: Spread | None) -> None:
    """End its tasks, if there are any; nothing happens the second time."""
    if spread is not None:
        spread.close()


def cpu_seconds(spread: Spread | None) -> float:
    """Processor time of tasks in other processes."""
    return spread.runner.cpu_seconds if spread else 0.0


def peak_rss_bytes(spread: Spread | None) -> int:
    """The most memory that this process or one that ran tasks had."""
    return max(usage.peak_rss_bytes(), spread.runner.peak_rss_bytes if spread else 0)
