"""A Ray cluster of two workers on this machine; the fixture ``cluster`` is one for all tests."""

from __future__ import annotations

import pytest

from greendata.runners.ray import RayRunner, RaySettings

ON_RAY = pytest.mark.xdist_group("ray")
SETTINGS = RaySettings(address=None, workers=2, store_bytes=128 << 20)


class Cluster:
    """The cluster's runner, and what it warned of."""

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self.runner = RayRunner(SETTINGS, self.warnings.append)
        self.runner.start()

    @property
    def address(self) -> str:
        """What other drivers connect to."""
        import ray

        return str(ray.get_runtime_context().gcs_address)
