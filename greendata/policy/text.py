"""YAML as policies may use it: plain data, each value with its place, and nothing surprising.

Refused are anchors and aliases (and with them bombs), tags, merge keys, several documents, repeated
keys, tabs, and scalars that YAML 1.1 and 1.2 read differently.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from greendata.errors import PolicyError

LARGEST_FILE_BYTES = 256 * 2**10
"""A larger file is not something a person wrote; the parser needs seconds for each megabyte."""
DEEPEST = 16

Place: TypeAlias = tuple[int, int]
"""Line and column, both from 1."""
Path: TypeAlias = tuple[int | str, ...]
"""Keys and positions that lead to a value."""

_NULLS = ("", "~", "null")
_TRUTHS = {"true": True, "false": False}
_AMBIGUOUS = re.compile(
    r"(?i:yes|no|on|off|y|n|true|false|null)"  # 1.1 booleans, and spellings of 1.2's
    r"|[-+]?(0[0-9_]+|0[box][0-9a-f_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?|[0-9]+_[0-9_]*)"
    r"|[-+]?\.(inf|nan)",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_REAL = re.compile(
    r"[-+]?(0|[1-9][0-9]*)?\.[0-9]+([eE][-+]?[0-9]+)?|[-+]?[1-9][0-9]*[eE][-+]?[0-9]+"
)
LONGEST_NUMBER = 40
# Controls other than the end of a line, bidirectional controls, halves of characters.
_HIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class YamlFile:
    """A file's data, and where each value and each key stands."""

    name: str
    lines: tuple[str, ...]
    data: Any
    values: Mapping[Path, Place]
    keys: Mapping[Path, Place]
    styles: Mapping[Path, str]

    def place(self, path: Sequence[int | str]) -> Place:
        """Of the deepest part of ``path`` that the file has: the key, or the item of a list."""
        for length in range(len(path), 0, -1):
            part = tuple(path[:length])
            if part in self.keys:
                return self.keys[part]
            if part in self.values:
                return self.values[part]
        return (1, 1)

    def holds(self, path: Sequence[int | str]) -> bool:
        """Whether something that is not empty stands there."""
        data = self.data
        for part in path:
            try:
                data = data[part]
            except (KeyError, IndexError, TypeError):
                return False
        return bool(data)

    def complaint(self, path: Sequence[int | str], message: str) -> str:
        """``file:line:column: message``."""
        return located(self.name, self.place(path), message)

    def place_in_text(self, path: Path, offset: int) -> Place:
        """Where a character of a text value stands in the file, folded and quoted lines included.

        Characters that are no blanks are counted, since folding only changes blanks.
        """
        line, column = self.values[path]
        style = self.styles[path]
        at_line, at_column = line - 1, column - 1
        if style in ("|", ">"):
            at_line, at_column = at_line + 1, 0
        elif style:
            at_column += 1
        wanted = sum(not char.isspace() for char in str(_value_at(self.data, path))[:offset])
        while at_line < len(self.lines):
            text = self.lines[at_line]
            while at_column < len(text):
                if not text[at_column].isspace():
                    if wanted == 0:
                        return (at_line + 1, at_column + 1)
                    wanted -= 1
                    at_column += style == "'" and text.startswith("''", at_column)
                    at_column += style == '"' and text[at_column] == "\\"
                at_column += 1
            at_line, at_column = at_line + 1, 0
        return (line, column)


def located(name: str, place: Place, message: str) -> str:
    """``file:line:column: message``."""
    return f"{name}:{place[0]}:{place[1]}: {message}"


def read_yaml(raw: bytes, name: str) -> YamlFile:
    """The data of one YAML document with its places.

    Raises:
        PolicyError: too large, not UTF-8, not YAML, or YAML that is refused.
    """
    text = _decoded(raw, name)
    lines = tuple(text.splitlines())
    for number, line in enumerate(lines, 1):
        if "\t" in line:
            place = (number, line.index("\t") + 1)
            raise PolicyError(
                located(name, place, "a tab"), hint="Indent with blanks; YAML does not allow tabs."
            )
    builder = _Builder(name)
    data = builder.document(_events(text, name))
    return YamlFile(
        name=name,
        lines=lines,
        data=data,
        values=builder.values,
        keys=builder.keys,
        styles=builder.styles,
    )


def _decoded(raw: bytes, name: str) -> str:
    if len(raw) > LARGEST_FILE_BYTES:
        raise PolicyError(
            f"{name}: is larger than {LARGEST_FILE_BYTES} bytes",
            hint="Split it: several policy files can be given together.",
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PolicyError(located(name, (line, 1), "is not UTF-8")) from error


def _events(text: str, name: str) -> Iterator[Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        what = (error.problem or "is not YAML").splitlines()[0]
        raise PolicyError(located(name, place, f"not YAML: {what}")) from error
    except YAMLError as error:
        what = str(error).splitlines()[0]
        raise PolicyError(located(name, (1, 1), f"not YAML: {what}")) from error


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


@dataclass(slots=True)
class _Builder:
    """Puts data together from the parser's events, refusing what policies may not use."""

    name: str
    values: dict[Path, Place] = field(default_factory=dict)
    keys: dict[Path, Place] = field(default_factory=dict)
    styles: dict[Path, str] = field(default_factory=dict)

    def document(self, events: Iterator[Any]) -> Any:
        from ruamel.yaml import events as kinds

        data: Any = None
        documents = 0
        for event in events:
            if isinstance(event, kinds.DocumentStartEvent):
                documents += 1
                if documents > 1:
                    self._refuse(event, "a second document", "Give one document a file.")
                if event.version or event.tags:
                    self._refuse(event, "a YAML directive", "Leave it out.")
            elif isinstance(event, kinds.NodeEvent):
                data = self._value(event, events, ())
        return data

    def _value(self, event: Any, events: Iterator[Any], path: Path) -> Any:
        from ruamel.yaml import events as kinds

        if isinstance(event, kinds.AliasEvent) or event.anchor is not None:
            self._refuse(event, "an anchor or alias", "Write the value out where it is used.")
        if event.tag is not None and str(event.tag) != "!":
            self._refuse(event, f"a tag: {event.tag}", "Tags are not allowed in policies.")
        if len(path) > DEEPEST:
            self._refuse(event, f"nested deeper than {DEEPEST} levels", "Write it flatter.")
        self.values[path] = _place(event)
        if isinstance(event, kinds.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, kinds.SequenceStartEvent):
            return self._sequence(events, path)
        self.styles[path] = event.style or ""
        return self._scalar(event)

    def _mapping(self, events: Iterator[Any], path: Path) -> dict[str, Any]:
        from ruamel.yaml import events as kinds

        found: dict[str, Any] = {}
        for event in events:
            if isinstance(event, kinds.MappingEndEvent):
                break
            if not isinstance(event, kinds.ScalarEvent):
                self._refuse(event, "a key that is no word", "Keys are words.")
            key = self._value(event, events, (*path, ""))
            if event.value == "<<" and not event.style:
                self._refuse(event, "a merge key", "Write the keys out.")
            if not isinstance(key, str):
                self._refuse(event, f"a key that is no text: {event.value}", "Put it in quotes.")
            if key in found:
                self._refuse(event, f"key {key!r} stands here twice", "Keep one of them.")
            del self.values[(*path, "")], self.styles[(*path, "")]
            self.keys[(*path, key)] = _place(event)
            found[key] = self._value(next(events), events, (*path, key))
        return found

    def _sequence(self, events: Iterator[Any], path: Path) -> list[Any]:
        from ruamel.yaml import events as kinds

        found: list[Any] = []
        for event in events:
            if isinstance(event, kinds.SequenceEndEvent):
                break
            found.append(self._value(event, events, (*path, len(found))))
        return found

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        hidden = _HIDDEN.search(text)
        if hidden:
            name = f"U+{ord(hidden[0]):04X}"
            self._refuse(event, f"a text with the invisible character {name}", "Leave it out.")
        if event.style:
            return text
        if text in _NULLS:
            return None
        if text in _TRUTHS:
            return _TRUTHS[text]
        if _AMBIGUOUS.fullmatch(text):
            self._refuse(
                event,
                f"{text!r} means different things in YAML 1.1 and 1.2",
                "Write true or false, a plain decimal number, or put the text in quotes.",
            )
        if len(text) <= LONGEST_NUMBER and _WHOLE.fullmatch(text):
            return int(text)
        if len(text) <= LONGEST_NUMBER and _REAL.fullmatch(text):
            return float(text)
        return text

    def _refuse(self, event: Any, what: str, hint: str) -> None:
        raise PolicyError(located(self.name, _place(event), what), hint=hint)


def _place(event: Any) -> Place:
    return (event.start_mark.line + 1, event.start_mark.column + 1)
