"""Azure Blob Storage: the azure SDK's only home."""

from greendata.stores.azure.client import AzureSettings
from greendata.stores.azure.store import AzureStore

__all__ = ["AzureSettings", "AzureStore"]
