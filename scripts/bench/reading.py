"""Scanning a loopback S3 server against local disk, and both ways of reading from S3.

The server's own CPU time is excluded by counting that of this program's process alone, which
``wait4`` tells; by wall time both share the machine's cores.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

LEAST_RATIO = 0.6
BUCKET = "bench"

READ = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
way, kind, uris = sys.argv[2], sys.argv[3], sys.argv[4:]
import pyarrow as pa, pyarrow.parquet as pq
if way == "sdk":
    from greendata.stores.opening import Stores
    store = Stores()
    store.head(uris[0])
    opened = lambda uri: store.open(store.head(uri))
else:
    from urllib.parse import urlsplit
    from pyarrow import fs
    end = urlsplit(os.environ["AWS_ENDPOINT_URL"])
    system = fs.S3FileSystem(endpoint_override=end.netloc, scheme=end.scheme)
    opened = lambda uri: system.open_input_file(uri.removeprefix("s3://"))
before = time.process_time(), time.perf_counter()
size = 0
for uri in uris:
    file = opened(uri)
    if kind == "column":
        for batch in pq.ParquetFile(file).iter_batches(columns=["text"], use_threads=False):
            size += batch.nbytes
    else:
        while block := file.read(1 << 20):
            size += len(block)
print('{"bytes": %d, "cpu_seconds": %f, "wall_seconds": %f}' % (
    size, time.process_time() - before[0], time.perf_counter() - before[1]), flush=True)
os._exit(0)
"""
"""Reads the text column of Parquet objects, or whole objects as streams."""


def put(folder: Path, prefix: str, client: Any) -> list[str]:
    """Upload a folder; the URIs."""
    found = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        key = f"{prefix}/{path.name}"
        client.upload_file(str(path), BUCKET, key)
        found.append(f"s3://{BUCKET}/{key}")
    return found


def scan(target: str | Path, environment: dict[str, str], given: Any) -> dict[str, Any]:
    """The best of some scans, start-up not counted."""
    rates = []
    for _ in range(given.repeats):
        startup = measure.run([sys.executable, "-c", measure.SCAN_IMPORTS]).cpu_seconds
        with tempfile.TemporaryDirectory(prefix="greendata-bench-") as place:
            finished = measure.run(
                measure.greendata("scan", target, "--catalog", Path(place) / "catalog", "--json"),
                environment=environment,
            )
        summary = json.loads(finished.stdout)
        seconds = finished.cpu_seconds - startup - summary["startup_cpu_seconds"]
        rates.append((summary["text_bytes"] / measure.MEGABYTE / seconds, finished))
    rate, finished = max(rates, key=lambda entry: entry[0])
    return finished.figures() | {
        "megabytes_a_cpu_second": round(rate, 1),
        "all": [round(entry[0], 1) for entry in rates],
    }


def read(
    way: str, kind: str, uris: list[str], environment: dict[str, str], repeats: int
) -> dict[str, Any]:
    """Megabytes a second of one way of reading, the best of some."""
    command = [sys.executable, "-c", READ, str(measure.REPOSITORY), way, kind, *uris]
    found = [
        json.loads(measure.run(command, environment=environment).stdout) for _ in range(repeats)
    ]
    best = min(found, key=lambda entry: float(entry["cpu_seconds"]))
    size = best["bytes"] / measure.MEGABYTE
    return {
        "megabytes_a_cpu_second": round(size / best["cpu_seconds"], 1),
        "megabytes_a_second": round(size / min(float(e["wall_seconds"]) for e in found), 1),
    }


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Reading from a loopback S3 server.")
    parser.add_argument("--megabytes", type=float, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args(arguments)
    import boto3

    from tests.stores.servers import moto_server

    with measure.working_folder(given.folder) as folder, moto_server() as url:
        environment = {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        data = {
            kind: measure.make_corpus(folder / kind, megabytes=given.megabytes, format=kind)
            for kind in ("parquet", "jsonl")
        }
        client = boto3.client(
            "s3",
            endpoint_url=url,
            aws_access_key_id="none",
            aws_secret_access_key="none",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket=BUCKET)
        uris = {kind: put(folder / kind, kind, client) for kind in data}
        measure.load_kernel()
        local = scan(folder / "parquet", environment, given)
        remote = scan(f"s3://{BUCKET}/parquet/", environment, given)
        ways = {
            f"{kind}, {way}": read(way, what, uris[kind], environment, given.repeats)
            for kind, what in (("parquet", "column"), ("jsonl", "stream"))
            for way in ("sdk", "native")
        }
    ratio = remote["megabytes_a_cpu_second"] / local["megabytes_a_cpu_second"]
    result = measure.document(
        "reading",
        data=data,
        parameters={"repeats": given.repeats},
        measured={"scan from disk": local, "scan from S3": remote, "reading": ways},
        budgets={"s3_to_disk": measure.at_least(ratio, LEAST_RATIO)},
        peer={"native": {name: found for name, found in ways.items() if "native" in name}},
        notes=[
            "The native file system cannot send If-Match: it may mix two versions of an object."
        ],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
