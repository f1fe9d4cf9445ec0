"""Quarantine, undo and purge as object store servers do them, one object each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from greendata.config import StoreSettings
from greendata.errors import ObjectNotFoundError
from greendata.execute.records import Status
from greendata.stores.opening import Stores
from greendata.stores.records import Encryption
from tests.execute.handlers.test_returning import BESIDE, World
from tests.execute.test_purging import Grave

HOSTILE = "ä b'%2F\u202e"
EXPIRES = "Wed, 21 Oct 2026 07:28:00 GMT"
OWN_KEY = Encryption(
    algorithm="aws:kms", key_id="arn:aws:kms:us-east-1:1:key/a", has_bucket_key=True
)


@pytest.fixture(params=["moto", "moto versioned", "azurite"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    beside = BESIDE
    if request.param == "azurite":
        root = f"az://{request.getfixturevalue('container')}/"
    else:
        s3: Any = request.getfixturevalue("s3")
        bucket = request.getfixturevalue("bucket")
        beside = replace(BESIDE, expires=EXPIRES, redirect="/other", encryption=OWN_KEY)
        root = f"s3://{bucket}/"
        if "versioned" in request.param:
            s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    store = Stores([StoreSettings(match=root, allow_http=True)])
    way = {"is_versioned": "versioned" in request.param, "is_exclusive": True}
    return World(store, root, way, name=HOSTILE, beside=beside)


def test_taken_back_it_is_as_it_was_and_purged_it_is_gone(world: World) -> None:
    before = world.look()
    assert world.beside.lost_in(world.store.details(world.a)) == ""
    inverse = world.inverse(world.action("quarantine", {"grace_days": 30}))
    with pytest.raises(ObjectNotFoundError):
        world.store.head(world.a)
    for _ in range(2):
        assert world.back(inverse).status is Status.DONE
        assert world.look() == before
    grave = Grave(world)
    assert grave.purge(days=29).reason == "early"
    assert grave.is_there()
    assert grave.purge().status is Status.DONE
    assert grave.purge(is_resumed=True).status is Status.DONE
    assert not grave.is_there()
    assert [v.uri for v in world.store.versions(world.root) if v.uri == world.a] == []
    assert world.store.read(world.b) == b"same"


@pytest.mark.parametrize("world", ["moto versioned"], indirect=True)
def test_a_change_of_class_is_taken_back_by_the_version_before(world: World) -> None:
    before = world.look()
    inverse = world.inverse(world.action("tier", {"storage_class": "GLACIER"}))
    assert world.store.head(world.a).storage_class == "GLACIER"
    for _ in range(2):
        assert world.back(inverse).status is Status.DONE
        assert world.look() | {"class": None} == before | {"class": None}
        assert world.look()["class"] in (None, "STANDARD")
