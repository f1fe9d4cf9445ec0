"""greendata beside its peers: the same Parquet, the same parameters, one run, exact truth.

    python scripts/bench/peers/compare.py --table --data FOLDER…

The task: word 5-grams of lower-cased runs of letters and digits, 128 permutations, threshold 0.8.
Every tool reads the same files, each peer in an environment of its own (launch.py), and names what
is alike; greendata also verifies it and commits it to a catalog, within its time.

* Banding: every peer runs with greendata's 16 x 8, and with what it chooses for itself at this
  threshold: datasketch 9 x 13, rensa's deduplicator 8 x 16. Daft leaves it to the caller and also
  gets 9 x 13.
* rensa is full-set R-MinHash; it names pairs like the others, and once more gives flags only, its
  shortest way. Reading and shingling in Python, which bounds rensa and datasketch, is told apart.
* datasketch gets a subset (``--slow-megabytes``, the starts of the files), and greendata runs on
  that too.
* Repetitions take turns, so that a disturbance hits all; the one of least CPU time counts (user and
  system, of the process tree, after start-up and imports). Each has another seed; recall and
  precision are those of all (score.py).
* Few pairs and three seeds are a draw: of the 156 pairs of the arXiv sample from .80 to .85, where
  the curve of 16 x 8 says .977, greendata's seeds 1, 2 and 3 find .955, .987 and .942, and 200
  seeds find .976 (standard error .001). Texts and shingles are no reason; rensa's three drew .998.

No peer may be beaten by being less exact than it: in each bin greendata's recall must not be below
that of any peer at any banding by more than three standard errors of the difference of two such
measurements, and its precision is 1.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.bench import measure, scan
from scripts.bench.peers import launch

LEAST_RATIO_TO_DAFT = 3.0
"""ARCHITECTURE.md, section 8."""

EDIT_RATES = (0.003, 0.008, 0.014, 0.0195)
"""Of the near-duplicates in generated corpora, a quarter each: Jaccards of .97, .92, .87, .82."""

COLUMNS = (
    "corpus",
    "tool",
    "MB/s a CPU-second",
    "wall s",
    "peak MB",
    "recall .80–.85",
    ".85–.90",
    ".90–.95",
    ".95–1",
    "pair precision",
)
OURS = "greendata"
OUR_BANDING = launch.Ask(bands=16, rows=8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A peer with what it is asked."""

    peer: str
    ask: launch.Ask
    is_slow: bool = False

    @property
    def label(self) -> str:
        """Name in the document."""
        if self.peer == "nothing":
            return "reading and shingling in Python"
        name = f"{self.peer} {self.ask.bands}x{self.ask.rows}"
        return f"{name} flags" if self.ask.flags else name


VARIANTS = (
    Variant(peer="daft", ask=launch.Ask(bands=16, rows=8)),
    Variant(peer="daft", ask=launch.Ask(bands=9, rows=13)),
    Variant(peer="rensa", ask=launch.Ask(bands=16, rows=8)),
    Variant(peer="rensa", ask=launch.Ask(bands=16, rows=8, flags=True)),
    Variant(peer="rensa", ask=launch.Ask(bands=8, rows=16)),
    Variant(peer="datasketch", ask=launch.Ask(bands=16, rows=8), is_slow=True),
    Variant(peer="datasketch", ask=launch.Ask(bands=9, rows=13), is_slow=True),
)
FLOOR = Variant(peer="nothing", ask=launch.Ask(bands=1, rows=1, flags=True))
PEERS = tuple(dict.fromkeys(variant.peer for variant in (*VARIANTS, FLOOR)))


def lay_out(target: Path, *arguments: str | Path) -> dict[str, Any]:
    """Run corpora.py as a child, so that this process stays small; what it wrote."""
    command: list[str | Path] = [sys.executable, launch.HERE / "corpora.py", target, *arguments]
    made: dict[str, Any] = json.loads(measure.run(command).stdout)
    return made


def generated(target: Path, mean_bytes: int, megabytes: float) -> dict[str, Any]:
    """A corpus with near-duplicates in every bin."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        parts = [Path(folder) / str(rate) for rate in EDIT_RATES]
        for seed, (part, rate) in enumerate(zip(parts, EDIT_RATES, strict=True), 1):
            size = megabytes / len(EDIT_RATES)
            options = {"megabytes": size, "mean_bytes": mean_bytes, "files": 1, "seed": seed}
            measure.make_corpus(part, edit_rate=rate, **options)
        made = lay_out(target, *(part / "part-00000.parquet" for part in parts))
    return {"made_by": "scripts/bench/generate.py", "edit_rates": list(EDIT_RATES)} | made


def make_corpora(folder: Path, given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Every corpus in a folder of its name: what it is."""
    made: dict[str, dict[str, Any]] = {}
    for data in given.data:
        sources = sorted(data.glob("*.parquet")) if data.is_dir() else [data]
        made[data.stem] = {"made_by": "given files"} | lay_out(folder / data.stem, *sources)
    for size in given.mean_bytes:
        made[f"generated-{size}"] = generated(folder / f"generated-{size}", size, given.megabytes)
    if given.python_sources:
        limit = ("--megabytes", str(given.megabytes))
        source = "sources of this Python installation, from the start in order of path"
        target = folder / "python-sources"
        made[target.name] = {"made_by": source} | lay_out(target, "--python-sources", *limit)
    return made


def make_subset(folder: Path, name: str, megabytes: float) -> tuple[str, dict[str, Any]]:
    """The corpus for slow peers: the starts of the files of another."""
    target = folder / f"{name}-subset"
    sources = sorted((folder / name).glob("*.parquet"))
    made = lay_out(target, *sources, "--megabytes", str(megabytes))
    return target.name, {"made_by": f"the starts of the files of {name}"} | made


def run_ours(data: Path, folder: Path, workers: int, seed: int) -> tuple[dict[str, Any], Path]:
    """One scan and its duplicates."""
    catalog = measure.new_catalog(folder)
    figures = scan.scan_once(data, catalog, workers=workers, seed=seed)
    answer = catalog.parent / "duplicates.parquet"
    measure.run(measure.greendata("--catalog", catalog, "duplicates", "-o", answer))
    return figures | {"peak_rss_bytes": figures["process"]["peak_rss_bytes"]}, answer


def run_all(
    data: Path, folder: Path, pythons: Mapping[str, Path], slow: bool, given: argparse.Namespace
) -> dict[str, Any]:
    """All tools by turns: the truth's size, and the figures and the score of each."""
    chosen = [v for v in (*VARIANTS, FLOOR) if v.peer in pythons and v.is_slow is slow]
    files = sorted(data.glob("*.parquet"))
    runs: dict[str, list[dict[str, Any]]] = {OURS: [], **{v.label: [] for v in chosen}}
    asked = {OURS: asked_of(OUR_BANDING, "duplicates")}
    for variant in chosen:
        if variant is not FLOOR:
            kind = "flags" if variant.ask.flags else "pairs"
            asked[variant.label] = asked_of(variant.ask, kind)
    for seed in range(1, given.repeats + 1):
        figures, answer = run_ours(data, folder, given.workers, seed)
        runs[OURS].append(figures)
        asked[OURS]["paths"].append(str(answer))
        for place, variant in enumerate(chosen):
            if variant is FLOOR and seed > 1:
                continue
            answer = folder / f"answer-{place}-{seed}.parquet"
            ask = dataclasses.replace(variant.ask, seed=seed)
            figures = launch.run(variant.peer, pythons[variant.peer], files, ask, answer)
            runs[variant.label].append(figures)
            if variant is not FLOOR:
                asked[variant.label]["paths"].append(str(answer))
    (folder / "answers.json").write_text(json.dumps(asked))
    scorer = [sys.executable, str(launch.HERE / "score.py"), str(folder / "answers.json")]
    scored: dict[str, Any] = json.loads(measure.run([*scorer, *map(str, files)]).stdout)
    found = runs[OURS][0]["found"]["documents"], runs[OURS][0]["text_bytes"]
    tools = {
        label: told_of(held, *found, scored["scores"].get(label)) for label, held in runs.items()
    }
    return {"truth": scored["truth"], "tools": tools}


def told_of(
    runs: list[dict[str, Any]], documents: int, text_bytes: int, score: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The figures of a tool: those of its run of least CPU time."""
    best = scan.best_of(runs)
    rate = scan.megabytes_a_second(text_bytes, best["cpu_seconds"])
    return {
        "version": best.get("version", "this checkout"),
        "megabytes_a_cpu_second": round(rate, 2),
        "documents_a_cpu_second": round(documents / best["cpu_seconds"]),
        "cpu_seconds": best["cpu_seconds"],
        "all_cpu_seconds": best["all_cpu_seconds"],
        "wall_seconds": best["wall_seconds"],
        "peak_rss_bytes": best["peak_rss_bytes"],
        "score": score,
    }


def asked_of(ask: launch.Ask, kind: str) -> dict[str, Any]:
    """What score.py is told of a tool."""
    return {"kind": kind, "bands": ask.bands, "rows": ask.rows, "paths": []}


def ratios(tools: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """How many times as fast as each peer greendata is: at its own banding, and at the fastest."""
    ours = tools[OURS]["megabytes_a_cpu_second"]
    found: dict[str, dict[str, float]] = {}
    for variant in VARIANTS:
        if variant.label in tools:
            ratio = round(ours / tools[variant.label]["megabytes_a_cpu_second"], 2)
            peer = found.setdefault(variant.peer, {"to_the_fastest": math.inf})
            peer["to_the_fastest"] = min(peer["to_the_fastest"], ratio)
            if variant.ask == OUR_BANDING:
                peer["at_the_same_banding"] = ratio
    return found


def recall_budgets(tools: Mapping[str, Any], repeats: int) -> dict[str, dict[str, Any]]:
    """In each bin, greendata's recall against that of the best of the peers there."""
    budgets = {}
    for place, ours in enumerate(tools[OURS]["score"]["kept_stars"]):
        theirs = {
            label: entry["score"]["kept_stars"][place]["recall"]
            for label, entry in tools.items()
            if label != OURS and entry["score"] is not None
        }
        if not ours["documents"] or not theirs:
            continue
        best = max(theirs, key=lambda label: theirs[label])
        tolerance = ours["three_standard_errors"] * math.sqrt(2 / repeats)
        low, high = ours["jaccard"]
        budgets[f"recall_from_{low}_to_{high}"] = measure.at_least(
            ours["recall"], round(theirs[best] - tolerance, 4)
        ) | {"best_peer": best, "recall_of_best_peer": round(theirs[best], 4)}
    return budgets


def budgets_of(tools: Mapping[str, Any], repeats: int) -> dict[str, dict[str, Any]]:
    """Of one corpus."""
    ours = tools[OURS]["score"]
    budgets = {
        "precision": measure.at_least(ours["pair_precision"], 1.0),
        "wrong_jaccards_or_texts": measure.at_most(ours["wrong_numbers"], 0),
        "exact_copies_missed": measure.at_most(ours["exact_copies_missed"], 0),
    }
    if "daft" in (ratio := ratios(tools)):
        budgets["ratio_to_daft"] = measure.at_least(
            ratio["daft"]["to_the_fastest"], LEAST_RATIO_TO_DAFT
        )
    return budgets | recall_budgets(tools, repeats)


def markdown(measured: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """A table of all corpora and tools."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for name, entry in measured.items():
        corpus = f"{name}, {data[name]['text_megabytes']:.0f} MB"
        for label, tool in entry["tools"].items():
            cells = [corpus, label, f"{tool['megabytes_a_cpu_second']:.1f}"]
            cells += [f"{tool['wall_seconds']:.1f}", f"{tool['peak_rss_bytes'] / 1e6:.0f}"]
            cells += score_cells(tool["score"])
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def score_cells(score: Mapping[str, Any] | None) -> list[str]:
    """Recall in each bin and precision; a dash for what there is none of."""
    if score is None:
        return ["–"] * 5
    bins = score["kept_stars"]
    cells = [f"{row['recall']:.3f}" if row["documents"] else "–" for row in bins]
    precision = score.get("pair_precision")
    return [*cells, "–" if precision is None else f"{precision:.3f}"]


def prepare(names: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Python of each peer's environment, and why there is none."""
    pythons, failures = {}, {}
    for name in names:
        try:
            pythons[name] = launch.prepare(name)
        except measure.BenchmarkError as error:
            failures[name] = str(error)
    return pythons, failures


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = measure.parser((__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, nargs="*", default=[], help="Parquet, with texts")
    parser.add_argument("--mean-bytes", type=int, nargs="*", default=[1024, 4096])
    parser.add_argument("--python-sources", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--megabytes", type=float, default=200, help="of text, but of --data")
    parser.add_argument("--slow-megabytes", type=float, default=24, help="for slow peers")
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=PEERS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3, help="of which the best counts")
    parser.add_argument("--table", action="store_true", help="Markdown on standard error, too")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Measure and print."""
    given = parse(arguments)
    pythons, failures = prepare(given.peers)
    slow = {variant.peer for variant in VARIANTS if variant.is_slow}
    measure.load_kernel()
    measured, budgets = {}, {}
    with measure.working_folder(given.folder) as folder:
        data = make_corpora(folder, given)
        if slow & pythons.keys():
            data |= dict(make_subset(folder, name, given.slow_megabytes) for name in list(data))
        for name in data:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                is_subset = name.endswith("-subset")
                entry = run_all(folder / name, Path(place), pythons, is_subset, given)
            measured[name] = entry | {"ratios": ratios(entry["tools"])}
            for budget, verdict in budgets_of(entry["tools"], given.repeats).items():
                budgets[f"{name}: {budget}"] = verdict
    budgets["peers_not_measured"] = measure.at_most(len(failures), 0)
    result = measure.document(
        "compare",
        data=data,
        parameters={
            "shingle_size": 5,
            "num_perm": 128,
            "threshold": 0.8,
            "bands": OUR_BANDING.bands,
            "rows_per_band": OUR_BANDING.rows,
            "workers": given.workers,
            "repeats": given.repeats,
        },
        measured=measured,
        peer={"names": list(pythons), "failures": failures},
        budgets=budgets,
    )
    if given.table:
        print(markdown(measured, data), file=sys.stderr)
    return measure.conclude(result, check=given.check)


if __name__ == "__main__":
    sys.exit(main())
