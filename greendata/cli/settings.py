"""What the options shared by all commands came to, with the configuration behind them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from greendata.config import Config
    from greendata.model import Dataset
    from greendata.progress import Progress

DEFAULT_CATALOG = ".greendata"


class Settings:
    """Filled by the shared options, before or after the command's name."""

    def __init__(self) -> None:
        self.config_option: str | None = None
        self.catalog_option: str | None = None
        self.is_json = False
        self.is_log_json = False
        self.verbosity = 0
        self.command = ""
        self._config: Config | None = None

    @property
    def config(self) -> Config:
        """The file that ``--config`` names, else the nearest ``greendata.yaml`` upward, if any."""
        if self._config is None:
            from greendata.config import Config, find_config, read_config

            named = self.config_option
            path = Path(named) if named is not None else find_config(Path.cwd())
            self._config = Config() if path is None else read_config(path)
        return self._config

    @property
    def catalog(self) -> str:
        """Flag or environment, then ``greendata.yaml``, then ``.greendata`` here."""
        return self.catalog_option or self.config.catalog or DEFAULT_CATALOG

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Those that ``greendata.yaml`` declares."""
        from greendata.model import Dataset
        from greendata.stores.opening import normalise_uri

        return tuple(
            Dataset(
                name=entry.name,
                prefixes=tuple(normalise_uri(uri, self.config.stores) for uri in entry.prefixes),
                priority=entry.priority,
            )
            for entry in self.config.datasets
        )

    @property
    def catalog_argument(self) -> str:
        """What a suggested command must say to mean the same catalog; nothing by default."""
        if self.catalog_option is None:
            return ""
        import shlex

        return f" --catalog {shlex.quote(self.catalog_option)}"

    def open_progress(self) -> Progress:
        """JSON lines when asked for, a bar on a terminal, else plain lines; all on stderr."""
        if self.is_log_json:
            from greendata.progress import JsonLinesProgress

            return JsonLinesProgress(sys.stderr)
        from greendata.cli.bar import BarProgress, LinesProgress

        is_quiet = self.verbosity < 0
        if is_quiet or not sys.stderr.isatty():
            return LinesProgress(sys.stderr, is_quiet=is_quiet)
        return BarProgress(sys.stderr)
