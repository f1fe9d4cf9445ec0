"""The report as one HTML page that needs nothing else: no network, no file beside it.

Everything from data goes through jinja2's autoescape. A Content-Security-Policy in the page lets
the browser run the one script and use the one style sheet whose digests it names, and nothing else:
should a name ever get through as markup, its script would not run and its image would not load.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from importlib import resources
from typing import TYPE_CHECKING, Any

from greendata.plan.render import visible

if TYPE_CHECKING:
    import jinja2
    import markupsafe

    from greendata.report.page import Page

LONGEST_NAME = 256
"""Characters of a name that are shown; keys may have 1,024 bytes, texts any number."""


def html(page: Page) -> str:
    """The whole page."""
    style, script = _file("report.css"), _file("report.js")
    return _template().render(page=page, style=style, script=script, policy=_policy(style, script))


def _policy(style: str, script: str) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest(script)}'",
            f"style-src '{_digest(style)}'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(raw).decode()}"


def shown_name(text: str) -> str:
    """A name letter by letter, its middle left out where it is very long."""
    if len(text) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        text = f"{text[:half]} … {text[-half:]}"
    return visible(text)


def _shown_words(text: str) -> markupsafe.Markup:
    """A sentence; what stands in backquotes is code."""
    import markupsafe

    parts = visible(text).split("`")
    marked = [
        markupsafe.Markup("<code>{}</code>").format(part) if place % 2 else markupsafe.escape(part)
        for place, part in enumerate(parts)
    ]
    return markupsafe.Markup("").join(marked)


@functools.cache
def _template() -> jinja2.Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["name"] = shown_name
    environment.filters["words"] = _shown_words
    environment.tests["table"] = _is_kind("Table")
    environment.tests["heat_map"] = _is_kind("HeatMap")
    environment.tests["plot"] = _is_kind("Plot")
    return environment.from_string(_file("report.html.j2"))


def _is_kind(name: str) -> Any:
    return lambda block: type(block).__name__ == name


def _file(name: str) -> str:
    return (resources.files("greendata.report") / "page" / name).read_text(encoding="utf-8")
