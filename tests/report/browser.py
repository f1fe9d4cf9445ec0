"""A headless Chromium, spoken to over a pipe in its DevTools protocol: no driver, no package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE_SECONDS = 60
WITHOUT = "no Chromium: install one (Debian: apt-get install chromium), as .ci/run does"


def find_browser() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Tab:
    """One page; ``told`` is what it wrote to the console, raised, or was refused."""

    def __init__(self, commands: BinaryIO, answers: int) -> None:
        self._commands = commands
        self._answers = answers
        self._pending = bytearray()
        self._number = 0
        self._session: str | None = None
        self._events: list[dict[str, Any]] = []
        self.told: list[str] = []
        self._requests: dict[str, str] = {}

    @property
    def requests(self) -> list[str]:
        """URLs that were asked for since ``forget``."""
        return list(self._requests.values())

    def forget(self) -> None:
        """What was told and asked for up to now."""
        self.told.clear()
        self._requests.clear()

    def start(self) -> None:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._commands.write(json.dumps(message).encode() + b"\0")
        self._commands.flush()
        while (found := self._read()).get("id") != self._number:
            self._note(found)
        if "error" in found:
            raise RuntimeError(f"{method}: {found['error']}")
        return found["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            if not select.select([self._answers], [], [], PATIENCE_SECONDS)[0]:
                raise RuntimeError(f"the browser said nothing for {PATIENCE_SECONDS} seconds")
            piece = os.read(self._answers, 1 << 20)
            if not piece:
                raise RuntimeError("the browser is gone")
            self._pending += piece
        raw, _, rest = self._pending.partition(b"\0")
        self._pending = bytearray(rest)
        found: dict[str, Any] = json.loads(raw)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        self._events.append(event)
        method, values = event.get("method"), event.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.told.append(json.dumps(values["args"]))
        elif method == "Runtime.exceptionThrown":
            self.told.append(json.dumps(values["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.told.append(values["entry"]["text"])
        elif method == "Page.javascriptDialogOpening":
            self.told.append(f"dialog: {values['message']}")
        elif method == "Network.requestWillBeSent":
            self._requests[values["requestId"]] = values["request"]["url"]
        elif method == "Network.loadingFailed" and values.get("blockedReason") == "csp":
            self._requests.pop(values["requestId"])  # announced, and never sent

    def look(self, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """The size of the window, and the colours its user prefers."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)

    def open(self, url: str) -> None:
        self._events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            self._note(self._read())

    def run(self, script: str) -> Any:
        """The value of an expression in the page, as a debugger runs it: no policy forbids it."""
        found = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(json.dumps(found["exceptionDetails"]))
        return found["result"].get("value")

    def press(self, key: str, code: int) -> None:
        for kind in ("rawKeyDown", "char", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key,
                windowsVirtualKeyCode=code, text="\r" if key == "Enter" else "",
            )  # fmt: skip

    def picture(self, path: Path, *, top: int = 0, height: int | None = None) -> None:
        """The whole page as PNG, or a part of it."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {
            "x": 0, "y": top, "width": size["width"], "scale": 1,
            "height": min(height or size["height"], size["height"] - top),
        }  # fmt: skip
        shot = self.call("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def paper(self) -> bytes:
        """The page as PDF."""
        found = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        return base64.b64decode(found["data"])


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with a profile of its own, and its one tab."""
    path = find_browser()
    if path is None:
        raise RuntimeError(WITHOUT)
    to_child, commands = os.pipe()
    answers, from_child = os.pipe()
    # The browser reads commands from 3 and answers on 4; a shell puts them there.
    line = 'exec "$0" "$@" 3<&"$IN" 4>&"$OUT"'
    process = subprocess.Popen(
        ["bash", "-c", line, path, *FLAGS, f"--user-data-dir={profile}"],
        env=os.environ | {"IN": str(to_child), "OUT": str(from_child)},
        pass_fds=(to_child, from_child),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(to_child)
    os.close(from_child)
    try:
        with os.fdopen(commands, "wb") as writer:
            tab = Tab(writer, answers)
            tab.start()
            yield tab
    finally:
        os.close(answers)
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)
