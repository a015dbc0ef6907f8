"""Workloads that were seen: a trace of who asked when, and lengths of a file.

Owns what becomes of rows: which are left out, where time begins, at what rate and as which class they come.
"""

from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from random import Random

from headway.bench.fields import BadWorkload, shown, tokens
from headway.bench.lengths import Pairs
from headway.bench.trace_rows import Row, header, rows, table
from headway.bench.workload import Arrival, pick

most_rows = 1_000_000  # held, about 300 MB
most_hashes = 20_000_000  # held, 160 MB
default_class = "chat"


@dataclass(frozen=True, slots=True)
class Trace:
    """Requests in order of time, `span_s` long. A Load: it can be told to come at another rate."""

    requests: tuple[Arrival, ...]
    span_s: float
    left_out: int  # rows without a prompt or without an answer: refused, failed, or left
    mix: Mapping[str, float] = field(default_factory=dict)  # in place of the classes of the file, if any

    @property
    def rate(self) -> float:
        """Requests per second, as they came; infinite where all came at once."""
        return len(self.requests) / self.span_s if self.span_s else inf

    def arrivals(self, rate: float, seed: int, until_s: float) -> Iterator[Arrival]:
        """Those before `until_s`, the gaps between them stretched or shrunk so that they come at `rate`. The
        trace is not begun again at its end. `seed` draws the mix.
        """
        stretch = self.rate / rate if self.span_s else 1.0
        classes, weighted = Random(f"{seed}/classes"), list(self.mix.items())
        for one in self.requests:
            at_s = one.at_s * stretch
            if at_s >= until_s:
                return
            name = pick(weighted, classes.random()) if weighted else one.service_class
            yield one._replace(at_s=at_s, service_class=name)


def read_trace(
    path: Path,
    kind: str | None = None,
    *,
    start_s: float = 0.0,
    end_s: float = inf,
    classes: Collection[str] = (),
    mix: Mapping[str, float] | None = None,
) -> Trace:
    """The rows from `start_s` to before `end_s`, which then begin at 0. Raises BadWorkload.

    In a plain file seconds are its own; in others the first row is at 0. `kind`: None to tell by the first
    line. `classes`: those there are; none: a row may name any. A client whose row does not say asks for as
    many tokens as the longest answer has: it does not know how long its own will be.
    """
    if start_s >= end_s:
        raise BadWorkload(f"the window from {start_s:g} to {end_s:g} seconds is empty")
    kept: list[Row] = []
    left_out, hashes, last_s = 0, 0, 0.0
    for row in rows(path, kind):
        if not start_s <= row.at_s < end_s:
            continue
        last_s = max(last_s, row.at_s - start_s)
        if not (row.prompt_tokens and row.output_tokens):
            left_out += 1
            continue
        if classes and not mix and row.service_class not in (None, *classes):
            words = f"{shown(row.service_class)} is no class; there are {', '.join(classes)}"
            raise BadWorkload(f"{path} line {row.line}: class: {words}")
        kept.append(row)
        hashes += len(row.prefix.hashes) if row.prefix else 0
        if len(kept) > most_rows or hashes > most_hashes:
            words = f"more than {most_rows:,} requests or {most_hashes:,} hashes; cut it to a window"
            raise BadWorkload(f"{path} line {row.line}: {words}")
    if not kept:
        window = "" if start_s == 0.0 and end_s == inf else f" from {start_s:g} to {end_s:g} seconds"
        raise BadWorkload(f"{path}: it has no request{window}; {left_out} without prompt or answer")
    return Trace(_arrivals(kept, start_s), last_s if end_s == inf else end_s - start_s, left_out, mix or {})


def _arrivals(kept: list[Row], start_s: float) -> tuple[Arrival, ...]:
    longest = max(row.output_tokens for row in kept)
    kept.sort(key=lambda row: row.at_s)  # a recording has a line where a request ends
    return tuple(
        Arrival(
            row.at_s - start_s,
            row.service_class or default_class,
            row.prompt_tokens,
            row.output_tokens,
            row.max_tokens or longest,
            row.prefix,
        )
        for row in kept
    )


_length_columns = ("num_prefill_tokens", "num_decode_tokens"), ("prompt_tokens", "output_tokens")


def read_pairs(path: Path) -> Pairs:
    """The lengths of a CSV file, which a workload draws from in pairs. Raises BadWorkload."""
    numbered, columns = header(path)
    wanted = next((names for names in _length_columns if set(names) <= set(columns)), None)
    if wanted is None:
        missing = next(name for name in _length_columns[0] if name not in columns)
        raise BadWorkload(f"{path} line 1: {missing}: missing, and a file of lengths has it")
    prompts, outputs = array("i"), array("i")
    for number, values in table(numbered, path, columns, wanted):
        for lengths, name in zip((prompts, outputs), wanted, strict=True):
            try:
                lengths.append(tokens(values[name], name, least=1))
            except BadWorkload as error:
                raise BadWorkload(f"{path} line {number}: {error}") from None
        if len(prompts) > most_rows:
            raise BadWorkload(f"{path} line {number}: more than {most_rows:,} pairs")
    if not prompts:
        raise BadWorkload(f"{path}: it has no lengths")
    return Pairs(prompts, outputs, max(outputs))
