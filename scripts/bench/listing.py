"""Listing a bucket of a million objects into the catalog, from a stub that answers as S3 does."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import sys
import tempfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from scripts.bench import measure

MOST_BYTES = measure.GIBIBYTE
FOLDERS = 100
PAGE = 1000


class Listing(BaseHTTPRequestHandler):
    """``data/NNN/part-NNNNNNNNNN.parquet``: objects or versions by prefix, delimiter and page."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """A page."""
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        asked = {name: values[0] for name, values in query.items()}
        body = "<IsTruncated>false</IsTruncated>" if "uploads" in asked else self.page(asked)
        roots = {"uploads": "ListMultipartUploadsResult", "versions": "ListVersionsResult"}
        root = next((roots[name] for name in roots if name in asked), "ListBucketResult")
        xmlns = "http://s3.amazonaws.com/doc/2006-03-01/"
        raw = f'<?xml version="1.0"?><{root} xmlns="{xmlns}">{body}</{root}>'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def page(self, asked: dict[str, str]) -> str:
        """Keys below the prefix, or the folders in it."""
        server: Any = self.server
        prefix = asked.get("prefix", "")
        a_folder = server.objects // FOLDERS
        folders = [f"data/{number:03}/" for number in range(FOLDERS)]
        if asked.get("delimiter") and prefix in ("", "data/"):
            names = ["data/"] if not prefix else folders
            found = "".join(f"<CommonPrefixes><Prefix>{n}</Prefix></CommonPrefixes>" for n in names)
            return f"<IsTruncated>false</IsTruncated><KeyCount>0</KeyCount>{found}"
        first = 0 if len(prefix) < len("data/000/") else int(prefix[5:8]) * a_folder
        stop = server.objects if len(prefix) < len("data/000/") else first + a_folder
        is_versions = "versions" in asked
        marker = asked.get("key-marker", "")[-18:-8] if is_versions else None
        start = int(marker) + 1 if marker else int(asked.get("continuation-token", first))
        end = min(start + PAGE, stop)
        entry = "Version" if is_versions else "Contents"
        more = "<VersionId>null</VersionId><IsLatest>true</IsLatest>" if is_versions else ""
        entries = "".join(
            f"<{entry}><Key>{key_of(n, server.objects)}</Key>{more}"
            f"<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;{n:032x}&quot;</ETag>"
            f"<Size>{size_of(n)}</Size><StorageClass>STANDARD</StorageClass></{entry}>"
            for n in range(start, end)
        )
        if end >= stop:
            return f"<IsTruncated>false</IsTruncated>{entries}"
        last = key_of(end - 1, server.objects)
        next_page = (
            f"<NextKeyMarker>{last}</NextKeyMarker><NextVersionIdMarker>null</NextVersionIdMarker>"
            if is_versions
            else f"<NextContinuationToken>{end}</NextContinuationToken>"
        )
        return f"<IsTruncated>true</IsTruncated>{next_page}{entries}"


def key_of(number: int, objects: int) -> str:
    """The key of an object."""
    return f"data/{number // (objects // FOLDERS):03}/part-{number:010}.parquet"


def size_of(number: int) -> int:
    """Its bytes."""
    return number % 100_000_007


def serve(objects: int, port: Any) -> None:
    """The stub's process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Listing) as server:
        made: Any = server
        made.objects, made.daemon_threads = objects, True
        port.put(server.server_address[1])
        server.serve_forever()


@contextlib.contextmanager
def bucket(objects: int) -> Iterator[dict[str, str]]:
    """``s3://bucket/`` of so many objects; the environment of those who list it."""
    port: Any = multiprocessing.Queue()
    stub = multiprocessing.Process(target=serve, args=(objects, port), daemon=True)
    stub.start()
    try:
        yield {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port.get()}",
            "AWS_ACCESS_KEY_ID": "none",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        stub.terminate()
        stub.join()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Listing a bucket into the catalog.")
    parser.add_argument("--objects", type=int, default=1_000_000)
    given = parser.parse_args(arguments)
    with (
        bucket(given.objects) as environment,
        tempfile.TemporaryDirectory(prefix="greendata-bench-") as place,
    ):
        finished = measure.run(
            measure.greendata(
                *("inventory", "s3://bucket/", "--catalog", Path(place) / "catalog", "--json")
            ),
            environment=environment,
        )
    summary = json.loads(finished.stdout)
    result = measure.document(
        "listing",
        data={"objects": given.objects, "folders": FOLDERS, "page": PAGE},
        parameters={},
        measured=finished.figures()
        | {
            "objects": summary["objects"],
            "objects_a_second": round(summary["objects"] / finished.wall_seconds),
        },
        budgets={
            "peak_rss_bytes": measure.at_most(finished.peak_rss_bytes, MOST_BYTES),
            "objects_lost": measure.at_most(given.objects - summary["objects"], 0),
        },
        notes=["The stub is one Python process, and slower than a real store: its time counts."],
    )
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
