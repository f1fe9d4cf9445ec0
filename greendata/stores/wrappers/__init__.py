"""Stores around stores: read-only, metered, retrying, and one with scripted faults for tests."""

from greendata.stores.wrappers.faulty import FaultyStore, LiarStore
from greendata.stores.wrappers.metered import MeteredStore, Usage
from greendata.stores.wrappers.readonly import ReadOnlyStore
from greendata.stores.wrappers.retrying import RetryingStore, RetrySettings

__all__ = [
    "FaultyStore",
    "LiarStore",
    "MeteredStore",
    "ReadOnlyStore",
    "RetrySettings",
    "RetryingStore",
    "Usage",
]
