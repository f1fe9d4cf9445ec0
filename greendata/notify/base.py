"""What is told, and what every channel keeps to.

Keys, names and messages come from data and are hostile: before anything is sent they are made
plain (no control, format or bidirectional character survives), shortened, and then escaped by the
rules of the channel.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from greendata.model import SCHEMA_VERSION
from greendata.operating.records import AlertKind

Severity = Literal["warn", "error"]

_TITLE_CHARACTERS = 200
_TEXT_CHARACTERS = 2000
_MOST_FACTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that somebody should know.

    Attributes:
        subject: what it is about (a dataset, a policy, a run's schedule): with ``kind`` it tells
            alerts apart, so that one about the same thing is not sent again too soon.
        facts: names to numbers and short texts, for programs.
    """

    kind: AlertKind
    subject: str
    severity: Severity
    title: str
    text: str
    at: datetime
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The same for alerts about the same thing."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.kind, self.subject):
            raw = part.encode("utf-8", "surrogatepass")
            digest.update(len(raw).to_bytes(8, "little") + raw)
        return digest.hexdigest()

    def as_dict(self) -> dict[str, Any]:
        """The JSON document that webhooks and commands take; every text in it is plain."""
        facts = list(self.facts.items())[:_MOST_FACTS]
        return {
            "schema_version": SCHEMA_VERSION,
            "source": "greendata",
            "kind": self.kind,
            "key": self.key,
            "subject": plain(self.subject, _TITLE_CHARACTERS),
            "severity": self.severity,
            "title": self.plain_title,
            "text": self.plain_text,
            "at": self.at.isoformat(),
            "facts": {plain(name, _TITLE_CHARACTERS): _plain_fact(fact) for name, fact in facts},
        }

    @property
    def plain_title(self) -> str:
        """One line."""
        return plain(self.title, _TITLE_CHARACTERS)

    @property
    def plain_text(self) -> str:
        """Lines, each of them plain."""
        lines = self.text[: 4 * _TEXT_CHARACTERS].split("\n")
        joined = "\n".join(plain(line, _TEXT_CHARACTERS) for line in lines)
        return _shortened(joined, _TEXT_CHARACTERS)


class Channel(ABC):
    """Where alerts go; ``name`` is for messages and holds no secret."""

    name: str

    @abstractmethod
    def send(self, alert: Alert) -> None:
        """Deliver it once.

        Raises:
            ServiceError: it did not get there, or nobody knows; ``is_retryable`` says what to do.
            DeniedError: refused.
            ConfigError: a credential is not there, or the place is not allowed.
        """


def plain(text: str, longest: int) -> str:
    """``text`` in one line, with what could steer a reader or a header written as an escape."""
    shown = "".join(
        letter if letter.isprintable() else _escape(letter) for letter in text[: longest + 1]
    )
    return _shortened(shown, longest)


def as_json(document: Any) -> bytes:
    """JSON that stays harmless where somebody pastes it into a page: ``<`` is escaped in it."""
    text = json.dumps(document, ensure_ascii=True, allow_nan=False)
    for letter in "<>&":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text.encode()


def _escape(letter: str) -> str:
    code = ord(letter)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else "\\U?"


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _plain_fact(fact: str | float | bool | None) -> str | float | bool | None:
    if isinstance(fact, str):
        return plain(fact, _TITLE_CHARACTERS)
    if isinstance(fact, float) and fact not in (float("inf"), float("-inf")) and fact == fact:
        return fact
    return None if isinstance(fact, float) else fact
