"""Trials that no server ran, of the shape of real ones."""

from pathlib import Path
from typing import Any

from cpu_trials import Book, Row, Wanted


class World:
    """Trials that take no time: a configuration holds up to a rate, less by a step too long or too short."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "book.jsonl"
        self.made: list[Wanted] = []
        self.late_client = 0  # so many of the next trials are not valid

    def book(self) -> Book:
        return Book(self.path, self.measure, say=lambda line: None, await_quiet=lambda: None)

    def measure(self, wanted: Wanted) -> Row:
        self.made.append(wanted)
        c = wanted.configuration
        holds = 2.0 - abs(c.budget - 512) / 4096 - (c.policy == "prefill-first") / 2 - (c.max_seqs < 64) / 10
        share = min(1.0, holds / wanted.rate)
        valid, self.late_client = self.late_client <= 0, self.late_client - 1
        asked = round(100 * wanted.seconds)
        line: dict[str, Any] = {"requests": asked, "met": round(share * asked), "attainment": share}
        return {
            **wanted._asdict(),
            "configuration": c._asdict(),
            "goodput": share * wanted.rate,
            "attainment": share,
            "completion": 1.0,
            "classes": {"chat": line, "batch": {**line, "met": asked}},
            "valid": valid,
            "client": {"valid": valid},
            "cores": {"others": 0.0},
        }
