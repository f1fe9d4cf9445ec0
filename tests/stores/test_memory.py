from __future__ import annotations

import pytest

from greendata.errors import ObjectHeldError
from greendata.stores.base import Store
from greendata.stores.memory import MemoryStore
from tests.stores.contract import HoldsContract, StoreContract, VersionsContract


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    @pytest.fixture
    def root(self) -> str:
        return "mem://bucket/place/"


class TestMemoryStoreWithVersions(StoreContract, VersionsContract, HoldsContract):
    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore(keeps_versions=True)

    @pytest.fixture
    def root(self) -> str:
        return "mem://bucket/place/"

    @pytest.fixture
    def versioned_root(self, root: str) -> str:
        return root

    @pytest.fixture
    def lockable_root(self, root: str) -> str:
        return root


def test_a_held_object_is_not_replaced_where_no_versions_are_kept() -> None:
    store = MemoryStore()
    store.put("mem://b/a", b"one")
    store.set_hold("mem://b/a", is_held=True)
    with pytest.raises(ObjectHeldError):
        store.put("mem://b/a", b"two")
    assert store.read("mem://b/a") == b"one"
