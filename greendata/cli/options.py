"""Options that more than one command has, and the types of their values."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import click

from greendata.cli.settings import Settings
from greendata.errors import UsageError
from greendata.jobs.request import available_processors
from greendata.units import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

Command = TypeVar("Command", bound="Callable[..., Any]")

EXIT_SOME_SKIPPED = 3
EXPORT_FORMATS = ("json", "csv", "parquet")


class ByteSize(click.ParamType[int]):
    """``64MiB``, ``2GB``, ``1000``."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Bytes as an int."""
        if isinstance(value, int):
            return value
        try:
            return parse_bytes(str(value))
        except UsageError as error:
            self.fail(f"{error} {error.hint or ''}".rstrip(), param, ctx)


class Usd(click.ParamType[Decimal]):
    """An amount of money, not negative."""

    name = "usd"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Decimal:
        """The amount, exactly as written."""
        try:
            amount = Decimal(str(value))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount such as 25 or 0.50", param, ctx)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is not an amount of zero or more", param, ctx)
        return amount


class NamedPath(click.ParamType[tuple[str, str]]):
    """``NAME=PATH``."""

    name = "name=path"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Name and path."""
        if isinstance(value, tuple):
            return value
        name, _, path = str(value).partition("=")
        if not name.strip() or not path:
            self.fail(f"{value!r} is not NAME=PATH, such as crawl=data/crawl", param, ctx)
        return name.strip(), path


def global_options(command: Command) -> Command:
    """The options of every command, as the group has them: before the command's name."""
    command = click.option(
        "--config",
        metavar="FILE",
        envvar="GREENDATA_CONFIG",
        show_envvar=True,
        expose_value=False,
        callback=_store("config_option"),
        help="The configuration; by default greendata.yaml here or in a folder above.",
    )(command)
    return _shared(command, envvar="GREENDATA_CATALOG")


def shared_options(command: Command) -> Command:
    """The same after the command's name; the environment was read before it."""
    return _shared(command, envvar=None)


def _shared(command: Command, envvar: str | None) -> Command:
    for option in (
        click.option(
            "--catalog",
            metavar="URI",
            envvar=envvar,
            show_envvar=envvar is not None,
            expose_value=False,
            callback=_store("catalog_option"),
            help="Where results are kept.  [default: .greendata]",
        ),
        click.option(
            "--json",
            is_flag=True,
            expose_value=False,
            callback=_store("is_json"),
            help="Print exactly one JSON document on stdout.",
        ),
        click.option(
            "--log-json",
            is_flag=True,
            expose_value=False,
            callback=_store("is_log_json"),
            help="Write progress and errors as JSON lines on stderr.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_change_verbosity(1),
            help="Say more; show tracebacks.",
        ),
        click.option(
            "-q",
            "--quiet",
            count=True,
            expose_value=False,
            callback=_change_verbosity(-1),
            help="Say only what went wrong and the result.",
        ),
    ):
        command = option(command)
    return command


def _store(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value:
            setattr(context.ensure_object(Settings), attribute, value)

    return callback


def _change_verbosity(step: int) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, parameter: click.Parameter, value: int) -> None:
        context.ensure_object(Settings).verbosity += step * value

    return callback


def export_options(command: Command) -> Command:
    """``--format``, ``-o`` and ``--force`` for commands that write a file."""
    for option in (
        click.option(
            "--force", is_flag=True, help="Replace the file of -o if it is there already."
        ),
        click.option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write all rows to FILE; its ending names the format if --format does not.",
        ),
        click.option(
            "--format",
            "file_format",
            type=click.Choice(EXPORT_FORMATS),
            help="Write all rows in this format, on stdout or with -o; parquet needs -o.",
        ),
    ):
        command = option(command)
    return command


def read_cost_options(command: Command) -> Command:
    """``--read-tiers`` and ``--max-cost-usd`` for commands that read objects."""
    for option in (
        click.option(
            "--max-cost-usd",
            type=Usd(),
            default="100",
            show_default=True,
            help="Refuse to read more than this at list prices, egress included.",
        ),
        click.option(
            "--read-tiers",
            default="hot",
            show_default=True,
            metavar="TIERS",
            callback=lambda _, __, value: tuple(part.strip() for part in value.split(",")),
            help="Of hot, intelligent, cool, cold: tiers that objects are read from.",
        ),
    ):
        command = option(command)
    return command


def guard_options(command: Command) -> Command:
    """``--max-group`` and ``--max-removal-share``."""
    for option in (
        click.option(
            "--max-removal-share",
            type=click.FloatRange(0, 1),
            default=0.9,
            show_default=True,
            help="Raise an alarm when a dataset would lose more than this share.",
        ),
        click.option(
            "--max-group",
            type=click.IntRange(1),
            default=10_000,
            show_default=True,
            help="Raise an alarm when more documents are redundant because of one.",
        ),
    ):
        command = option(command)
    return command


memory_option = click.option(
    "--memory",
    "memory_bytes",
    type=ByteSize(),
    default="2GiB",
    show_default=True,
    help="Peak memory to stay under.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(1, 1024),
    default=available_processors,
    show_default="processors available",
    envvar="GREENDATA_WORKERS",
    show_envvar=True,
    help="Threads that read and fingerprint.",
)
