from __future__ import annotations

import io
import json
import threading
from typing import Any

from greendata.progress import JsonLinesProgress, Progress


class Clock:
    """Moves only when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def events(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_base_progress_takes_everything_and_says_nothing() -> None:
    with Progress() as progress:
        progress.stage("reading", 10)
        progress.advance(1)
        progress.message("m")
        progress.warn("w")


def test_json_lines_write_at_most_five_times_a_second() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = JsonLinesProgress(stream, clock)
    progress.stage("reading", 1_000)
    for _ in range(1_000):
        clock.now += 0.001
        progress.advance(1)
    done = [event["done_bytes"] for event in events(stream) if event["type"] == "progress"]
    assert len(done) in (5, 6)
    assert done == sorted(done)


def test_json_lines_end_with_the_whole_of_every_stage() -> None:
    stream, clock = io.StringIO(), Clock()
    with JsonLinesProgress(stream, clock) as progress:
        progress.stage("reading", 30)
        progress.advance(10)
        progress.advance(20)
        progress.stage("verifying")
        progress.advance(5)
        progress.advance(6)
    last = {e["stage"]: e["done_bytes"] for e in events(stream) if e["type"] == "progress"}
    assert last == {"reading": 30, "verifying": 11}


def test_json_lines_carry_messages_as_one_line_each() -> None:
    stream, clock = io.StringIO(), Clock()
    progress = JsonLinesProgress(stream, clock)
    clock.now += 1.5
    progress.message("two\nlines")
    progress.warn("careful")
    assert events(stream) == [
        {"type": "message", "seconds": 1.5, "text": "two\nlines"},
        {"type": "warning", "seconds": 1.5, "text": "careful"},
    ]


def advance_by_ones(progress: Progress) -> None:
    for _ in range(1_000):
        progress.advance(1)


def test_json_lines_lose_nothing_when_threads_advance_together() -> None:
    stream = io.StringIO()
    with JsonLinesProgress(stream) as progress:
        progress.stage("reading", 4_000)
        threads = [threading.Thread(target=advance_by_ones, args=(progress,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert events(stream)[-1]["done_bytes"] == 4_000
