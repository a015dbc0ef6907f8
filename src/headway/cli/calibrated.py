"""What a calibration found, for people and for programs."""

from pathlib import Path
from typing import Any

import typer
from msgspec.structs import asdict
from rich.table import Table

from headway.profile.file import Calibration, MeasuredStep
from headway.terminal import show_table

shown_sizes = (1, 4, 16, 64)
shown_context = 256


def summary(found: Calibration) -> dict[str, Any]:
    by_errors = {each.kind: {"median": each.median, "p95": each.p95} for each in found.errors}
    return {
        "decode_ms": {size: 1e3 * took_s for size, took_s in _decodes(found)},
        "prefill_tok_s": _prefill_tok_s(found),
        "copied_bytes_s": found.peaks.copied_bytes_s,
        "flop_s": found.peaks.flop_s,
        "host_ms": {"step": 1e3 * found.host.step_s, "sequence": 1e3 * found.host.sequence_s},
        "served_ms": {name: 1e3 * took_s for name, took_s in asdict(found.served).items()},
        "errors": by_errors,
        "quiet": found.made.quiet,
        "disturbed": found.made.disturbed,
        "seconds": found.made.seconds,
        "steps": len(found.steps),
    }


def _decodes(found: Calibration) -> list[tuple[int, float]]:
    """(batch size, seconds) at the context nearest to the one that is shown."""
    nearest: dict[int, MeasuredStep] = {}
    for step in (step for step in found.steps if step.kind == "decode" and len(step.groups) == 1):
        size = step.groups[0].sequences
        before = nearest.get(size)
        if size in shown_sizes and (before is None or _off_context(step) < _off_context(before)):
            nearest[size] = step
    return [(size, nearest[size].seconds) for size in sorted(nearest)]


def _off_context(step: MeasuredStep) -> int:
    return abs(step.groups[0].start + 1 - shown_context)


def _prefill_tok_s(found: Calibration) -> float:
    """The best of one prompt's chunks."""
    prompts = (step for step in found.steps if step.kind == "prefill")
    return max(sum(g.sequences * g.count for g in step.groups) / step.seconds for step in prompts)


def show(found: Calibration, place: Path) -> None:
    table = Table(box=None, show_header=False)
    for size, took_s in _decodes(found):
        table.add_row(f"a step of {size} decoding", f"{1e3 * took_s:,.1f} ms")
    table.add_row("prefill", f"{_prefill_tok_s(found):,.0f} tokens/s")
    table.add_row("memory, copied", f"{found.peaks.copied_bytes_s / 1e9:,.1f} GB/s")
    table.add_row("matrix product", f"{found.peaks.flop_s / 1e9:,.0f} GFLOP/s")
    host = found.host
    table.add_row("host", f"{1e3 * host.step_s:.2f} ms a step, {1e6 * host.sequence_s:.0f} us a sequence")
    way, between = 1e3 * found.served.request_s, 1e3 * found.served.step_s
    each_us = 1e6 * found.served.sequence_s
    words = f"{way:.1f} ms a request's way; {between:.2f} ms between steps, {each_us:.0f} us a sequence"
    table.add_row("over HTTP", words)
    for each in found.errors:
        words = f"median {each.median:.1%}, p95 {each.p95:.1%} of {each.steps} held-out batches"
        table.add_row(f"error, {each.kind}", words)
    show_table(table)
    if not found.made.quiet:
        words = f"{found.made.disturbed:.0%} of the time others had the cores, or it ran slower"
        typer.echo(f"headway: the machine was not quiet: {words}; calibrate again when it is", err=True)
    typer.echo(f"written to {place}", err=True)
