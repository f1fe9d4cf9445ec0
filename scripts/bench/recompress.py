"""Recompression: sizes beside its peers', speed beside plain pyarrow, the proof's cost, memory.

Texts of this machine (man pages, sources of the Python installation) and, with ``--parquet``, given
ones are put into rows, shuffled. Peers compress the same rows: gzip and zstd the JSON Lines,
pyarrow and DuckDB the table. greendata rewrites the snappy file, after a scan.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import statistics
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from scripts.bench import measure

STREAM_PEERS = ("pyarrow snappy", "pyarrow zstd default", "duckdb default", "duckdb zstd")
ARCHIVE_PEERS = (*STREAM_PEERS, "pyarrow gzip", "pyarrow zstd 3", "pyarrow zstd 9")
LONG = "jsonl.zst 9 --long=27"
FLIPS = 1_000


def man_pages() -> Iterator[str]:
    """Pages of sections 1 to 8, unpacked."""
    for path in sorted(Path("/usr/share/man").glob("man[1-8]/*")):
        if path.is_file() and not path.is_symlink():
            raw = path.read_bytes()
            yield (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8", "replace")


def python_sources() -> Iterator[str]:
    """Of the standard library and of what is installed beside it."""
    roots = {sysconfig.get_paths()[name] for name in ("stdlib", "purelib")}
    for root in sorted(roots):
        for path in sorted(Path(root).rglob("*.py")):
            yield path.read_bytes().decode("utf-8", "replace")


def parquet_texts(path: Path) -> Callable[[], Iterator[str]]:
    """Column ``text`` of all Parquet files of a folder."""

    def texts() -> Iterator[str]:
        import pyarrow.parquet as pq

        for file in sorted(path.glob("*.parquet")):
            yield from pq.read_table(file, columns=["text"])["text"].to_pylist()

    return texts


def make_table(texts: Iterator[str], limit_bytes: int) -> Any:
    """Different texts, shuffled, with an id, a source and a number."""
    import pyarrow as pa

    chosen = list(dict.fromkeys(text for text in texts if text))
    random.Random(17).shuffle(chosen)
    kept, size = [], 0
    for text in chosen:
        size += len(text.encode())
        if size > limit_bytes:
            break
        kept.append(text)
    numbers = random.Random(18)
    return pa.table(
        {
            "id": [f"{numbers.getrandbits(64):016x}" for _ in kept],
            "text": kept,
            "source": [numbers.choice(("a", "b", "c")) for _ in kept],
            "tokens": [len(text.split()) for text in kept],
        }
    )


def peers(table: Any, folder: Path) -> dict[str, int]:
    """Bytes that others need for the same rows."""
    import duckdb
    import pyarrow.parquet as pq
    import zstandard

    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
    raw = lines.encode()
    (folder / "rows.jsonl").write_bytes(raw)
    long = zstandard.ZstdCompressionParameters.from_level(9, window_log=27, enable_ldm=True)
    found = {
        "jsonl": len(raw),
        "jsonl.gz 6": len(gzip.compress(raw, 6)),
        "jsonl.zst 9": len(zstandard.ZstdCompressor(level=9).compress(raw)),
        LONG: len(zstandard.ZstdCompressor(compression_params=long).compress(raw)),
    }
    path = folder / "peer.parquet"
    variants: dict[str, dict[str, Any]] = {
        "snappy": {"compression": "snappy"},
        "gzip": {"compression": "gzip"},
        "zstd default": {"compression": "zstd"},
        "zstd 3": {"compression": "zstd", "compression_level": 3},
        "zstd 9": {"compression": "zstd", "compression_level": 9},
    }
    for name, options in variants.items():
        pq.write_table(table, path, **options)
        found[f"pyarrow {name}"] = path.stat().st_size
    with duckdb.connect() as connection:
        connection.register("corpus", table)
        for name, more in {"default": "", "zstd": ", COMPRESSION zstd"}.items():
            connection.execute(f"COPY corpus TO '{path}' (FORMAT parquet{more})")
            found[f"duckdb {name}"] = path.stat().st_size
    path.unlink()
    return found


def stored_bytes(place: Path) -> int:
    """Of the objects of a place."""
    document = json.loads((place / "_greendata" / "manifest.json").read_text())
    return sum(entry["bytes"] for entry in document["objects"])


def ours(folder: Path, source: str, catalog: Path) -> dict[str, Any]:
    """What the command makes of a folder, with what it cost."""
    found: dict[str, Any] = {}
    for profile in ("stream", "archive"):
        place = Path(tempfile.mkdtemp(dir=folder)) / profile
        done = measure.run(
            measure.greendata(
                "recompress", folder / source, "-o", place, "--profile", profile, "--catalog",
                catalog, "--min-saving", "0", "--workers", "1", "--json",
            )
        )  # fmt: skip
        said = json.loads(done.stdout)
        found[profile] = {"bytes": stored_bytes(place), **done.figures()} | {
            "cpu_seconds_of": said["cpu_seconds"]
        }
    return found


def corpus_figures(name: str, texts: Iterator[str], folder: Path, limit: int) -> dict[str, Any]:
    """The sizes of one corpus."""
    import pyarrow.parquet as pq

    table = make_table(texts, limit)
    below = folder / name.replace(" ", "-")
    (below / "rows").mkdir(parents=True, exist_ok=True)
    sizes = peers(table, below)
    pq.write_table(table, below / "rows" / "rows.parquet")
    catalog = measure.new_catalog(below)
    measure.scan(below / "rows", catalog, workers=2)
    made = ours(below, "rows", catalog)
    sizes |= {f"greendata {profile}": made[profile]["bytes"] for profile in made}
    return {"documents": table.num_rows, "bytes": sizes, "runs": made}


def speed(table: Any, folder: Path, repeats: int) -> dict[str, Any]:
    """CPU of our reading and writing beside pyarrow's, in pairs, and of the proof."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from greendata.recompress.columnar import StoredRows
    from greendata.recompress.digests import FileDigest, row_digests
    from greendata.recompress.jsonlines import JsonLinesSource
    from greendata.recompress.sources import Grade, SourceOptions
    from greendata.shards.writer import PROFILES, ShardWriter
    from greendata.stores.local import LocalStore, path_to_uri

    pa.set_cpu_count(1)
    store = LocalStore()
    source, target = folder / "speed.parquet", folder / "speed-out.parquet"
    pq.write_table(table, source)
    item = store.head(path_to_uri(str(source)))

    def plain(level: int) -> None:
        read = pq.read_table(source, use_threads=False)
        pq.write_table(read, target, compression="zstd", compression_level=level)

    def mine(name: str) -> None:
        rows = StoredRows(store, item)
        with ShardWriter(target, rows.schema, PROFILES[name]) as writer:
            for batch in rows.batches():
                writer.write(batch)

    def proof() -> None:
        """All of it: digests of the rows that are read, and of those read back."""
        found = FileDigest()
        for batch in StoredRows(store, item).batches():
            found.add(row_digests(batch), found.rows)

    def digests() -> None:
        found = FileDigest()
        for batch in table.to_batches(max_chunksize=4_096):
            found.add(row_digests(batch), found.rows)

    figures: dict[str, Any] = {"text_bytes": table["text"].nbytes}
    for name, profile in PROFILES.items():
        level = profile.level
        pairs = [(cpu(plain, level), cpu(mine, name)) for _ in range(repeats)]
        figures[name] = {
            "pyarrow_cpu_seconds": round(statistics.median(pair[0] for pair in pairs), 3),
            "greendata_cpu_seconds": round(statistics.median(pair[1] for pair in pairs), 3),
            "speed_of_pyarrow": round(statistics.median(a / b for a, b in pairs), 3),
        }
    mine("archive")
    figures["proof_cpu_seconds"] = round(
        statistics.median(cpu(digests) + cpu(proof) for _ in range(repeats)), 3
    )
    lines = folder / "speed.jsonl"
    lines.write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table.to_pylist())
    )
    lines_item = store.head(path_to_uri(str(lines)))

    def from_lines() -> None:
        found = JsonLinesSource(store, lines_item, "none", Grade.LOGICAL, SourceOptions())
        with ShardWriter(target, found.schema, PROFILES["stream"]) as writer:
            for batch in found.batches():
                writer.write(batch)

    from_lines()
    seconds = statistics.median(cpu(from_lines) for _ in range(repeats))
    figures["jsonl_megabytes_a_cpu_second"] = round(
        lines_item.size_bytes / measure.MEGABYTE / seconds, 1
    )
    return figures


def cpu(work: Callable[..., None], *arguments: Any) -> float:
    """CPU seconds of all threads."""
    started = time.process_time()
    work(*arguments)
    return time.process_time() - started


def found_flips(table: Any, folder: Path, tries: int) -> int:
    """How many random bit flips in an output ``verify --full`` finds."""
    import pyarrow.parquet as pq

    from greendata.jobs import verify
    from greendata.progress import Progress
    from greendata.stores.local import path_to_uri

    below = folder / "flips"
    (below / "rows").mkdir(parents=True, exist_ok=True)
    pq.write_table(table.slice(0, 60), below / "rows" / "rows.parquet", compression="none")
    place = Path(tempfile.mkdtemp(dir=below)) / "out"
    measure.run(measure.greendata("recompress", below / "rows", "-o", place, "--min-saving", "0"))
    request = verify.VerifyRequest(place=path_to_uri(str(place)), is_full=True, workers=1)
    (path,) = place.glob("*.parquet")
    raw, status, chosen = path.read_bytes(), path.stat(), random.Random(23)
    found = 0
    for _ in range(tries):
        damaged = bytearray(raw)
        damaged[chosen.randrange(len(raw))] ^= 1 << chosen.randrange(8)
        with path.open("r+b") as stream:
            stream.write(damaged)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        found += len(verify.verify(request, progress=Progress()).damaged)
    return found


def main() -> int:
    options = measure.parser(__doc__ or "")
    options.add_argument("--parquet", type=Path, help="a folder of Parquet files with texts")
    options.add_argument("--megabytes", type=int, default=60, help="of text a corpus, at most")
    options.add_argument("--repeats", type=int, default=5, help="pairs of timings")
    options.add_argument("--flips", type=int, default=FLIPS)
    asked = options.parse_args()
    corpora: dict[str, Callable[[], Iterator[str]]] = {
        "man pages": man_pages,
        "python": python_sources,
    }
    if asked.parquet is not None:
        corpora = {"parquet": parquet_texts(asked.parquet), **corpora}
    limit = asked.megabytes * measure.MEGABYTE
    with measure.working_folder(asked.folder) as folder:
        measured: dict[str, Any] = {
            name: corpus_figures(name, texts(), folder, limit)
            for name, texts in corpora.items()
            if next(texts(), None) is not None
        }
        name = next(iter(measured))
        table = make_table(corpora[name](), limit)
        timed = speed(table, folder, asked.repeats)
        flips = found_flips(table, folder, asked.flips)
    budgets = dict(size_budgets(measured))
    for profile in ("stream", "archive"):
        budgets[f"speed of pyarrow, {profile}"] = measure.at_least(
            timed[profile]["speed_of_pyarrow"], 0.8
        )
    budgets["MB of JSON Lines a CPU second"] = measure.at_least(
        timed["jsonl_megabytes_a_cpu_second"], 30
    )
    budgets["proof, seconds"] = measure.at_most(
        timed["proof_cpu_seconds"], timed["archive"]["greendata_cpu_seconds"]
    )
    budgets["bit flips found"] = measure.at_least(flips, asked.flips)
    result = measure.document(
        "recompress",
        data={key: entry["documents"] for key, entry in measured.items()},
        parameters={"megabytes": asked.megabytes, "repeats": asked.repeats, "speed": name},
        measured={"corpora": measured, "speed": timed, "flips_found": flips},
        budgets=budgets,
        notes=("greendata rewrites the snappy Parquet; archive is ordered by the scan's groups.",),
    )
    return measure.conclude(result, check=asked.check)


def size_budgets(measured: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Never larger than a peer; archive within 2 % of long-distance zstd over all lines."""
    for name, entry in measured.items():
        sizes = entry["bytes"]
        stream, archive = sizes["greendata stream"], sizes["greendata archive"]
        yield (
            f"{name}: stream",
            measure.at_most(stream, min(sizes[peer] for peer in STREAM_PEERS)),
        )
        yield (
            f"{name}: archive",
            measure.at_most(archive, min(sizes[peer] for peer in ARCHIVE_PEERS)),
        )
        yield f"{name}: archive beside zstd --long", measure.at_most(archive, 1.02 * sizes[LONG])
        peak = max(run["peak_rss_bytes"] for run in entry["runs"].values())
        yield f"{name}: memory", measure.at_most(peak, 2 * measure.GIBIBYTE)


if __name__ == "__main__":
    sys.exit(main())
