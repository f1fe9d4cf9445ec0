"""The peers' environments, and one measured run of a peer.

Each peer has an environment of its own with exactly the versions that its file in ``requirements/``
pins. It is made when it is first needed, outside the repository, under a name that changes with
those versions and with Python's; its stamp is written when it is complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from scripts.bench import measure

HERE = Path(__file__).resolve().parent
STAMP = "greendata-peer.stamp"
QUIET = {"DAFT_PROGRESS_BAR": "0", "DAFT_ANALYTICS_ENABLED": "0", "DO_NOT_TRACK": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a peer is asked: the banding, the seed, and pairs or, if it can be without, flags."""

    bands: int
    rows: int
    seed: int = 1
    flags: bool = False

    def arguments(self) -> list[str]:
        """The peer's command line, but for files."""
        numbers = {"--bands": self.bands, "--rows": self.rows, "--seed": self.seed}
        said = [text for name, value in numbers.items() for text in (name, str(value))]
        return [*said, "--flags"] if self.flags else said


def requirements(peer: str) -> Path:
    """The file with the peer's versions."""
    return HERE / "requirements" / f"{peer}.txt"


def environment_name(peer: str) -> str:
    """Another one for other versions, of packages or Python."""
    said = requirements(peer).read_bytes() + repr(sys.version_info[:3]).encode()
    return f"{peer}-{hashlib.sha256(said).hexdigest()[:12]}"


def cache_folder() -> Path:
    """Where environments are kept from one benchmark to the next."""
    kept = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(kept) / "greendata-bench" / "peers"


def prepare(peer: str, folder: Path | None = None) -> Path:
    """Python of the peer's environment, which is made when it is missing or incomplete.

    Args:
        peer: name of a file in ``requirements/``.
        folder: of the environment; nothing in it is removed.

    Raises:
        BenchmarkError: the versions cannot be installed; what pip said.
    """
    folder = (folder or cache_folder() / environment_name(peer)).absolute()
    python, stamp = folder / "bin" / "python", folder / STAMP
    if python.exists() and stamp.is_file() and stamp.read_text() == environment_name(peer):
        return python
    if not python.exists():
        venv.create(folder, with_pip=True)
    install: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-deps"]
    install += ["--only-binary", ":all:", "-r", requirements(peer)]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip()[-1000:]
        raise measure.BenchmarkError(f"{peer} could not be installed into {folder}: {said}")
    stamp.write_text(environment_name(peer))
    return python


def run(
    peer: str, python: Path, files: Sequence[Path], ask: Ask, answer: Path | None = None
) -> dict[str, Any]:
    """Run a peer once on Parquet files: what it says of itself, and what the kernel counted.

    Args:
        answer: where the peer writes its pairs or flags, after its clock has stopped.
    """
    command: list[str | Path] = [python, HERE / f"run_{peer}.py", *ask.arguments()]
    if answer is not None:
        command += ["--answer", answer]
    finished = measure.run([*command, *files], environment=QUIET)
    said: dict[str, Any] = json.loads(finished.stdout)
    return said | {"process": finished.figures()}
