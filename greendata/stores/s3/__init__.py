"""Amazon S3 and servers that speak its protocol: boto3's only home."""

from greendata.stores.s3.client import S3Settings
from greendata.stores.s3.store import S3Store

__all__ = ["S3Settings", "S3Store"]
