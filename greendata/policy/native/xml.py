"""A small XML reader for lifecycle configurations: no document types, so no entities, no bombs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from greendata.policy.native.draft import ImportFailedError

DEEPEST = 12


@dataclass(slots=True, kw_only=True)
class Element:
    """``name`` without namespace; ``text`` is what stands in it besides elements."""

    name: str
    line: int
    text: str = ""
    children: list[Element] = field(default_factory=list)


def read_xml(raw: bytes) -> Element:
    """The root element.

    Raises:
        ImportFailedError: not XML, or XML with a document type.
    """
    from xml.parsers import expat

    root = Element(name="", line=0)
    stack = [root]
    parser = expat.ParserCreate(namespace_separator=" ")

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > DEEPEST:
            raise ImportFailedError(f"line {parser.CurrentLineNumber}: nested too deeply")
        element = Element(name=name.rpartition(" ")[2], line=parser.CurrentLineNumber)
        stack[-1].children.append(element)
        stack.append(element)

    def refuse(*_: Any) -> None:
        raise ImportFailedError(f"line {parser.CurrentLineNumber}: a document type is not allowed")

    def text(data: str) -> None:
        stack[-1].text += data

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(raw, True)
    except expat.ExpatError as error:
        what = expat.errors.messages[error.code]
        raise ImportFailedError(f"line {error.lineno}: not XML: {what}") from error
    return root.children[0]
