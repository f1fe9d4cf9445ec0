"""``greendata.yaml``: finding it, and reading it strictly, with the place of every mistake."""

from __future__ import annotations

import difflib
import functools
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greendata.errors import ConfigError, UsageError
from greendata.model import Dataset
from greendata.operating.reading import operating_of
from greendata.operating.records import Operating
from greendata.units import parse_bytes, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydantic import BaseModel, ValidationError

CONFIG_NAME = "greendata.yaml"
LARGEST_CONFIG_BYTES = 4 * 2**20
"""A larger file is not something a person wrote; reading stops before it costs memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetSettings:
    """One entry of ``datasets``. All but name, prefixes and priority is kept for later stages."""

    name: str
    prefixes: tuple[str, ...]
    priority: int = 0
    owner: str | None = None
    region: str | None = None
    training_region: str | None = None
    residency: tuple[str, ...] = ()
    readers: Literal["online", "none"] | None = None
    retention: Mapping[str, int] | None = None
    manifest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """One entry of ``stores``: how URIs that begin with ``match`` are reached.

    Credentials never stand here; they come from the standard chain of each store's SDK.

    Attributes:
        endpoint: URL of a server that speaks the protocol; None is the provider's own.
        exclusive_writer: nobody else writes below ``match``, so that races need no precondition.
        allow_http: plain HTTP to a host that is not this machine.
        attempts: tries of a call that fails for a reason that may pass, with growing waits.
    """

    match: str
    endpoint: str | None = None
    region: str | None = None
    profile: str | None = None
    account: str | None = None
    path_style: bool = False
    anonymous: bool = False
    expected_bucket_owner: str | None = None
    exclusive_writer: bool = False
    allow_http: bool = False
    connect_timeout_seconds: float = 10.0
    read_timeout_seconds: float = 60.0
    attempts: int = 6
    max_requests_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """``limits``: what one plan may change at most; applying a larger one is refused.

    ``max_percent`` is of the objects in the scope of the policies.
    """

    max_objects: int = 10_000
    max_bytes: int = 10 * 2**40
    max_percent: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What ``greendata.yaml`` says; all empty where there is none."""

    path: Path | None = None
    catalog: str | None = None
    datasets: tuple[DatasetSettings, ...] = ()
    stores: tuple[StoreSettings, ...] = ()
    inventory_max_age_seconds: float | None = None
    limits: LimitSettings = LimitSettings()
    operating: Operating = field(default_factory=Operating)

    def as_datasets(self) -> tuple[Dataset, ...]:
        """The declared datasets as jobs take them."""
        return tuple(
            Dataset(name=entry.name, prefixes=entry.prefixes, priority=entry.priority)
            for entry in self.datasets
        )


def find_config(directory: Path) -> Path | None:
    """The nearest ``greendata.yaml`` in ``directory`` or above it."""
    for folder in (directory, *directory.parents):
        candidate = folder / CONFIG_NAME
        if candidate.is_file():
            return candidate
    return None


def read_config(path: Path) -> Config:
    """Read and check ``path``; relative paths in it start at its own folder.

    Raises:
        ConfigError: not readable, not YAML, an unknown or repeated key, a value of the wrong kind.
            The message begins with ``file:line:column``.
    """
    document = _parse(path, _read_text(path))
    if document is None:
        return Config(path=path)
    if not isinstance(document, Mapping):
        raise ConfigError(f"{path}:1:1: expected keys and values, such as 'catalog: .greendata'")
    folder = path.resolve().parent
    settings = _validate(path, document)
    datasets = tuple(_resolve(entry, folder) for entry in settings["datasets"])
    _refuse_repeated_names(path, document, datasets)
    _refuse_overlaps(path, document, datasets)
    catalog = settings["catalog"]
    return Config(
        path=path,
        catalog=None if catalog is None else _beside(catalog, folder),
        datasets=datasets,
        stores=tuple(StoreSettings(**entry) for entry in settings["stores"]),
        inventory_max_age_seconds=_max_age_seconds(path, document, settings["inventory"]),
        limits=_limits(path, document, settings["limits"]),
        operating=_operating(path, document, settings),
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest of the known words, or nothing."""
    nearest = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(LARGEST_CONFIG_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > LARGEST_CONFIG_BYTES:
        raise ConfigError(f"{path}: is larger than {LARGEST_CONFIG_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: is not UTF-8") from error


def _parse(path: Path, text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import DuplicateKeyError
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ="rt", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        what = (error.problem or "is not YAML").splitlines()[0]
        if isinstance(error, DuplicateKeyError):
            what = what.partition(" with value")[0]
        raise ConfigError(f"{place}: {what}") from error
    except YAMLError as error:
        raise ConfigError(f"{path}: is not YAML: {str(error).splitlines()[0]}") from error


def _validate(path: Path, document: Any) -> dict[str, Any]:
    from pydantic import ValidationError

    try:
        model = _models()["document"].model_validate(_plain(document))
    except ValidationError as error:
        raise ConfigError("\n".join(_complaints(path, document, error))) from error
    settings: dict[str, Any] = model.model_dump()
    return settings


@functools.cache
def _models() -> dict[str, type[BaseModel]]:
    """The pydantic models, made on demand: ``greendata --help`` does not load pydantic."""
    from pydantic import Field

    from greendata.operating.model import ENTRIES, OperatingSections, Strict

    class DatasetEntry(Strict):
        name: str = Field(min_length=1)
        prefixes: list[str] = Field(min_length=1)
        priority: int = 0
        owner: str | None = None
        region: str | None = None
        training_region: str | None = None
        residency: list[str] = Field(default_factory=list)
        readers: Literal["online", "none"] | None = None
        retention: dict[str, int] | None = None
        manifest: str | None = None

    class StoreEntry(Strict):
        match: str = Field(pattern=r"^(s3|az)://")
        endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/?#@]+/?[^\s?#@]*$")
        region: str | None = None
        profile: str | None = None
        account: str | None = None
        path_style: bool = False
        anonymous: bool = False
        expected_bucket_owner: str | None = None
        exclusive_writer: bool = False
        allow_http: bool = False
        connect_timeout_seconds: float = Field(default=10.0, gt=0)
        read_timeout_seconds: float = Field(default=60.0, gt=0)
        attempts: int = Field(default=6, ge=1, le=100)
        max_requests_per_second: float | None = Field(default=None, gt=0)

    class InventoryEntry(Strict):
        max_age: str | None = None

    class LimitEntry(Strict):
        max_objects: int | None = Field(default=None, ge=1)
        max_bytes: str | None = None
        max_percent: float | None = Field(default=None, gt=0, le=100)

    class Document(OperatingSections):
        catalog: str | None = Field(default=None, min_length=1)
        datasets: list[DatasetEntry] = Field(default_factory=list)
        stores: list[StoreEntry] = Field(default_factory=list)
        inventory: InventoryEntry = Field(default_factory=InventoryEntry)
        limits: LimitEntry = Field(default_factory=LimitEntry)

    return {
        "document": Document,
        "datasets": DatasetEntry,
        "stores": StoreEntry,
        "inventory": InventoryEntry,
        "limits": LimitEntry,
        **ENTRIES,
    }


def _plain(value: Any) -> Any:
    """Built-in types for ruamel's, which pydantic's strict mode would not take for them."""
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _complaints(path: Path, document: Any, error: ValidationError) -> list[str]:
    """One line a mistake, each with its place."""
    found = []
    for detail in error.errors(include_url=False, include_input=False):
        location = detail["loc"]
        line, column = _position(document, location)
        if detail["type"] == "extra_forbidden":
            what = (
                f"unknown key {location[-1]!r}.{did_you_mean(str(location[-1]), _keys(location))}"
            )
        else:
            what = f"{_dotted(location)}: {detail['msg']}"
        found.append((line, column, what))
    return [f"{path}:{line}:{column}: {what}" for line, column, what in sorted(found)]


def _keys(location: Sequence[int | str]) -> list[str]:
    """The keys that are known where ``location`` points."""
    models = _models()
    holders = [part for part in location[:-1] if part in models]
    return list(models[str(holders[-1]) if holders else "document"].model_fields)


def _dotted(location: Sequence[int | str]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _position(document: Any, location: Sequence[int | str]) -> tuple[int, int]:
    """Line and column, from 1, of the deepest part of ``location`` that the file has."""
    place = (0, 0)
    node = document
    for part in location:
        try:
            marks: Any = node.lc
            place = marks.key(part) if isinstance(node, Mapping) else marks.item(part)
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return place[0] + 1, place[1] + 1


def _resolve(entry: dict[str, Any], folder: Path) -> DatasetSettings:
    prefixes = tuple(_beside(prefix, folder) for prefix in entry["prefixes"])
    changed = {"prefixes": prefixes, "residency": tuple(entry["residency"])}
    return DatasetSettings(**(entry | changed))


def _beside(uri: str, folder: Path) -> str:
    """``uri``, or a path starting at the folder of the configuration."""
    return uri if "://" in uri else os.path.join(folder, os.path.expanduser(uri))


def _refuse_repeated_names(path: Path, document: Any, datasets: Sequence[DatasetSettings]) -> None:
    seen: set[str] = set()
    for index, entry in enumerate(datasets):
        if entry.name in seen:
            line, column = _position(document, ("datasets", index, "name"))
            raise ConfigError(f"{path}:{line}:{column}: dataset {entry.name!r} is declared twice")
        seen.add(entry.name)


def _refuse_overlaps(path: Path, document: Any, datasets: Sequence[DatasetSettings]) -> None:
    """An object belongs to one dataset: no prefix may be another's, or in its folder."""
    places = [
        (prefix.rstrip("/"), entry.name, ("datasets", index, "prefixes", place))
        for index, entry in enumerate(datasets)
        for place, prefix in enumerate(entry.prefixes)
    ]
    owners: dict[str, list[str]] = {}
    for prefix, name, _ in places:
        owners.setdefault(prefix, []).append(name)
    for prefix, name, location in places:
        for other in (prefix, *folders_above(prefix)):
            other_name = next((found for found in owners.get(other, ()) if found != name), None)
            if other_name is not None:
                line, column = _position(document, location)
                raise ConfigError(
                    f"{path}:{line}:{column}: {prefix} of dataset {name!r} lies in {other} of"
                    f" dataset {other_name!r}",
                    hint="An object belongs to one dataset: name prefixes that do not overlap.",
                )


def folders_above(uri: str) -> Iterator[str]:
    """What a URI lies in, without the slash that follows: of ``s3://b/a/c`` ``s3://b/a`` too."""
    return (uri[:place] for place, character in enumerate(uri) if character == "/")


def _max_age_seconds(path: Path, document: Any, settings: dict[str, Any]) -> float | None:
    text = settings["max_age"]
    try:
        return None if text is None else parse_duration(text)
    except UsageError as error:
        line, column = _position(document, ("inventory", "max_age"))
        raise ConfigError(f"{path}:{line}:{column}: {error.message}", hint=error.hint) from error


def _operating(path: Path, document: Any, settings: dict[str, Any]) -> Operating:
    def complain(location: tuple[int | str, ...], what: str, hint: str | None) -> ConfigError:
        line, column = _position(document, location)
        return ConfigError(f"{path}:{line}:{column}: {_dotted(location)}: {what}", hint=hint)

    found = operating_of(settings, complain)
    csv = found.carbon.signal.path
    if csv is None:
        return found
    signal = replace(found.carbon.signal, path=_beside(csv, path.resolve().parent))
    return replace(found, carbon=replace(found.carbon, signal=signal))


def _limits(path: Path, document: Any, settings: dict[str, Any]) -> LimitSettings:
    given = {name: value for name, value in settings.items() if value is not None}
    try:
        if "max_bytes" in given:
            given["max_bytes"] = parse_bytes(given["max_bytes"])
    except UsageError as error:
        line, column = _position(document, ("limits", "max_bytes"))
        raise ConfigError(f"{path}:{line}:{column}: {error.message}", hint=error.hint) from error
    return LimitSettings(**given)
