from __future__ import annotations

import functools
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.examples import register_profiles
from tests.runners.clusters import Cluster
from tests.stores.servers import ACCOUNT, CANARY, azurite_server, moto_server

register_profiles()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes one process long begins first, so that no process waits for it at the end."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("xdist_group") is None,
            item.get_closest_marker("slow") is None,
        )
    )


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    with moto_server() as url:
        yield url


@pytest.fixture(scope="session")
def azure_connection() -> Iterator[str]:
    with azurite_server() as connection:
        yield connection


@pytest.fixture(scope="session", autouse=True)
def one_loader_of_sdk_models() -> Iterator[None]:
    """Each session of botocore parses 60 ms worth of JSON anew; tests make hundreds of them."""
    import botocore.session

    with pytest.MonkeyPatch.context() as patched:
        cached = functools.cache(botocore.session.create_loader)
        patched.setattr(botocore.session, "create_loader", cached)
        yield


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A plain SDK client, for what the program under test has no business to do."""
    import boto3

    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "AKIACANARYCANARY0000",
        "AWS_SECRET_ACCESS_KEY": CANARY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    client = boto3.client("s3")
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"b-{uuid.uuid4().hex[:16]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def container(azure_connection: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """``container@account`` of an empty container."""
    from azure.storage.blob import BlobServiceClient

    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azure_connection)
    name = f"c-{uuid.uuid4().hex[:16]}"
    with BlobServiceClient.from_connection_string(azure_connection) as service:
        service.create_container(name)
    return f"{name}@{ACCOUNT}"


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.runner.close()


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Cluster:
    shared_cluster.warnings.clear()
    return shared_cluster
