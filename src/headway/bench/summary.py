"""A run in a block of lines, under the words that users of vLLM's and SGLang's load generators search for.

Owns the words and the widths; the numbers come as `figures` by name.
"""

from collections.abc import Iterator, Mapping
from typing import Any

width, label_width = 58, 40
_latencies = (
    ("Time to First Token", "TTFT", "ttft_s"),
    ("Time per Output Token (excl. 1st token)", "TPOT", "tpot_s"),
    ("Inter-token Latency", "ITL", "itl_s"),
    ("End-to-end Latency", "E2EL", "e2e_s"),
)
_ranks = (("Mean", "mean"), ("Median", "p50"), ("P95", "p95"), ("P99", "p99"))
least_for_p99 = 300  # a p99 of fewer values says nothing, and is not shown


def summary(figures: Mapping[str, Any], title: str) -> str:
    return "\n".join(_lines(figures, title))


def _lines(figures: Mapping[str, Any], title: str) -> Iterator[str]:
    yield f" {title} ".center(width, "=")
    yield _line("Successful requests:", f"{figures['successful']:,}")
    yield _line("Failed requests:", f"{figures['failed']:,}")
    yield _line("Benchmark duration (s):", f"{figures['duration_s']:,.2f}")
    yield _line("Total input tokens:", f"{figures['input_tokens']:,}")
    yield _line("Total generated tokens:", f"{figures['output_tokens']:,}")
    yield _line("Request throughput (req/s):", f"{figures['requests_per_s']:,.2f}")
    yield _line("Output token throughput (tok/s):", f"{figures['output_tok_s']:,.2f}")
    for words, short, name in _latencies:
        yield f" {words} ".center(width, "-")
        found = figures[name]
        for rank_words, rank in _ranks:
            few = found is None or (rank == "p99" and found["count"] < least_for_p99)
            yield _line(f"{rank_words} {short} (ms):", "-" if few else f"{1e3 * found[rank]:,.2f}")
    yield " Promises ".center(width, "-")
    yield _line("Request goodput (req/s):", f"{figures['goodput']:,.2f}")
    yield _line("Goodput (output tok/s):", f"{figures['goodput_tok_s']:,.2f}")
    for name, line in figures["classes"].items():
        kept = f"{100 * line['attainment']:.2f} % of {line['requests']:,}, {line['goodput']:,.2f} req/s"
        yield _line(f"Attainment of {name}:", kept)
    yield "=" * width


def _line(label: str, value: str) -> str:
    return f"{label:<{label_width}}{value:>{width - label_width}}"
