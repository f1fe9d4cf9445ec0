"""A Ray cluster of two workers on this machine, one for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

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


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.runner.close()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    shared_cluster.warnings.clear()
    return shared_cluster
