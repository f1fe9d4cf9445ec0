"""Listing a bucket of a million objects into the catalog, from a stub that answers as S3 does."""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
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
    """``data/NNN/part-NNNNNNNNNN.parquet``: ListObjectsV2 with prefix, delimiter and paging."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments: Any) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """A page."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        body = "" if "uploads" in asked else self.page(asked)
        root = "ListMultipartUploadsResult" if "uploads" in asked else "ListBucketResult"
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
        start = int(asked.get("continuation-token", first))
        end = min(start + PAGE, stop)
        entries = "".join(
            f"<Contents><Key>data/{n // a_folder:03}/part-{n:010}.parquet</Key>"
            f"<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;{n:032x}&quot;</ETag>"
            f"<Size>{n % 100_000_007}</Size><StorageClass>STANDARD</StorageClass></Contents>"
            for n in range(start, end)
        )
        more = f"<NextContinuationToken>{end}</NextContinuationToken>" if end < stop else ""
        truncated = "true" if more else "false"
        return f"<IsTruncated>{truncated}</IsTruncated>{more}{entries}"


def serve(objects: int, port: Any) -> None:
    """The stub's process."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Listing) as server:
        made: Any = server
        made.objects, made.daemon_threads = objects, True
        port.put(server.server_address[1])
        server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    parser = measure.parser("Listing a bucket into the catalog.")
    parser.add_argument("--objects", type=int, default=1_000_000)
    given = parser.parse_args(arguments)
    port: Any = multiprocessing.Queue()
    stub = multiprocessing.Process(target=serve, args=(given.objects, port), daemon=True)
    stub.start()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port.get()}",
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    with tempfile.TemporaryDirectory(prefix="greendata-bench-") as place:
        finished = measure.run(
            measure.greendata(
                *("inventory", "s3://bucket/", "--catalog", Path(place) / "catalog", "--json")
            ),
            environment=environment,
        )
    stub.terminate()
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
