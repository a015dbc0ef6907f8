"""The ledger as Prometheus text: our own names, and the ones that dashboards and routers made for vLLM read.

Owns names, labels and the registry. Adds nothing up.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric

from headway.core.types import Reason
from headway.metrics.export_promises import promise_metrics
from headway.metrics.families import counter, gauge, histogram_family
from headway.metrics.histogram import Histogram
from headway.metrics.ledger import Latencies, Ledger
from headway.metrics.roof import Roof, used

idle_s = 10.0  # without a step, and nothing is said of what steps take
_vllm_labels = ("model_name", "engine")
_vllm_reasons = {
    Reason.STOP: "stop",
    Reason.LENGTH: "length",
    Reason.CANCELLED: "abort",
    Reason.ERROR: "error",
    Reason.EXPIRED: "timeout",
}


class Pool(NamedTuple):
    """The KV cache's size."""

    block_size: int
    blocks: int


class Outlook(NamedTuple):
    """What the ledger cannot know, at the moment of a scrape."""

    now_s: float
    state: str  # the engine's
    pool: Pool | None  # None while it loads
    roof: Roof | None = None  # None: no profile says what the machine can do


def exposition(ledger: Ledger, model: str, outlook: Callable[[], Outlook]) -> Callable[[], bytes]:
    """A function that gives the text of /metrics."""
    registry = CollectorRegistry()
    registry.register(_Collector(ledger, model, outlook))
    return lambda: generate_latest(registry)


class _Collector:
    def __init__(self, ledger: Ledger, model: str, outlook: Callable[[], Outlook]) -> None:
        self._ledger = ledger
        self._model = model
        self._outlook = outlook

    def describe(self) -> list[Metric]:
        return []  # nothing is collected at registration

    def collect(self) -> Iterator[Metric]:
        outlook = self._outlook()
        self._ledger.look(outlook.now_s)
        yield from self._own_counts()
        yield from self._own_state(outlook)
        yield from self._own_use(outlook)
        yield from self._own_latencies()
        yield from promise_metrics(self._ledger)
        yield from self._vllm_counts(outlook)
        yield from self._vllm_histograms()

    # ---- headway:

    def _own_counts(self) -> Iterator[Metric]:
        ledger = self._ledger
        accepted = [((name,), count) for name, count in ledger.accepted.items()]
        yield counter("headway:accepted", "Sequences accepted.", ("class",), accepted)
        finished = [((name, reason), count) for (name, reason), count in ledger.finished.items()]
        yield counter("headway:finished", "Sequences ended.", ("class", "reason"), finished)
        refused = [((name, reason), count) for (name, reason), count in ledger.refused.items()]
        yield counter("headway:rejected", "Requests refused by the engine.", ("class", "reason"), refused)
        ended = _ended(ledger)
        aborted = [
            (("cancelled",), ended[Reason.CANCELLED] - ledger.aborted_choices),
            (("admin",), ledger.aborted_choices),
            (("failed",), ended[Reason.ERROR]),
            (("expired",), ended[Reason.EXPIRED]),
        ]
        yield counter("headway:aborted", "Sequences ended before their time.", ("cause",), aborted)
        for name, help, value in (
            ("headway:preemptions", "Sequences that gave their blocks up.", ledger.preemptions),
            ("headway:recomputed_tokens", "Tokens computed again after that.", ledger.recomputed_tokens),
            ("headway:wasted_tokens", "Tokens made behind a stop string.", ledger.wasted_tokens),
            ("headway:prefix_query_tokens", "Prompt tokens looked up.", ledger.prefix_query_tokens),
            ("headway:prefix_hit_tokens", "Prompt tokens found computed.", ledger.prefix_hit_tokens),
        ):
            yield counter(name, help, (), [((), value)])

    def _own_state(self, outlook: Outlook) -> Iterator[Metric]:
        ledger, step, standing = self._ledger, self._ledger.last_step, self._ledger.standing
        yield gauge("headway:engine_state", "1 for the state it is in.", ("state",), [((outlook.state,), 1)])
        yield gauge("headway:running", "Sequences holding blocks.", (), [((), ledger.running)])
        yield gauge("headway:waiting", "Sequences that wait.", (), [((), ledger.waiting)])
        oldest_s = ledger.oldest_wait_s(outlook.now_s)
        yield gauge("headway:oldest_wait_seconds", "Oldest request without a token.", (), [((), oldest_s)])
        if standing is not None:
            free, used, cached = standing.blocks_free, standing.blocks_used, standing.blocks_cached
            blocks = [(("free",), free), (("used",), used), (("cached",), cached)]
            yield gauge("headway:kv_blocks", "KV blocks by state.", ("state",), blocks)
            unused = standing.slots_unused
            yield gauge("headway:kv_slots_unused", "Slots held without a token.", (), [((), unused)])
        yield histogram_family("headway:step_seconds", "Time of a step.", (), [((), ledger.step_seconds)])
        if step is not None:
            age_s = max(0.0, outlook.now_s - step.at_s)
            yield gauge("headway:last_step_age_seconds", "Since the last step ended.", (), [((), age_s)])
            yield gauge("headway:step_budget_tokens", "Budget of the last step.", (), [((), step.budget)])

    def _own_use(self, outlook: Outlook) -> Iterator[Metric]:
        steps = self._ledger.recent_steps
        if (
            outlook.roof is None
            or outlook.pool is None
            or not steps
            or outlook.now_s - steps[-1].at_s > idle_s
        ):
            return
        found = used(outlook.roof, steps, outlook.pool.block_size)
        if found is None:
            return
        words = "Of the last steps: share of the {} that was measured, 0 to 1, estimated."
        yield gauge("headway:mbu", words.format("memory bandwidth"), (), [((), found.mbu)])
        yield gauge("headway:mfu", words.format("arithmetic rate"), (), [((), found.mfu)])
        bounds = [((limit,), float(limit == found.bound_by)) for limit in ("memory", "compute", "neither")]
        yield gauge("headway:bound_by", "1 for the limit that is nearer.", ("limit",), bounds)

    def _own_latencies(self) -> Iterator[Metric]:
        classes = sorted(self._ledger.latencies.items())
        for name, help, pick in _own_histograms:
            yield histogram_family(
                name, help, ("class",), [((c,), pick(latencies)) for c, latencies in classes]
            )

    # ---- vllm:

    def _vllm_counts(self, outlook: Outlook) -> Iterator[Metric]:
        ledger, labels = self._ledger, (self._model, "0")
        used = 0 if ledger.standing is None else ledger.standing.blocks_used
        share = used / outlook.pool.blocks if outlook.pool else 0.0
        for name, help, value in (
            ("vllm:num_requests_running", "Sequences holding blocks.", ledger.running),
            ("vllm:num_requests_waiting", "Sequences that wait.", ledger.waiting),
            ("vllm:kv_cache_usage_perc", "Share of the KV blocks in use, 0 to 1.", share),
        ):
            yield gauge(name, help, _vllm_labels, [(labels, value)])
        if outlook.pool is not None:
            names = (*_vllm_labels, "block_size", "num_gpu_blocks")
            values = (*labels, str(outlook.pool.block_size), str(outlook.pool.blocks))
            yield gauge("vllm:cache_config_info", "Size of the KV cache.", names, [(values, 1)])
        for name, help, value in (
            ("vllm:prompt_tokens", "Prompt tokens of requests that reached a token.", ledger.prompt_tokens),
            ("vllm:generation_tokens", "Tokens generated.", ledger.output_tokens),
            ("vllm:num_preemptions", "Pre-emptions.", ledger.preemptions),
            ("vllm:prefix_cache_queries", "Prompt tokens looked up.", ledger.prefix_query_tokens),
            ("vllm:prefix_cache_hits", "Prompt tokens found computed.", ledger.prefix_hit_tokens),
        ):
            yield counter(name, help, _vllm_labels, [(labels, value)])
        totals = _ended(ledger)
        ended = [((*labels, _vllm_reasons[reason]), count) for reason, count in totals.items()]
        yield counter("vllm:request_success", "Sequences ended.", (*_vllm_labels, "finished_reason"), ended)

    def _vllm_histograms(self) -> Iterator[Metric]:
        labels = (self._model, "0")
        latencies = self._ledger.latencies.values()
        for name, help, pick in _vllm_latencies:
            all_classes = _merged([pick(each) for each in latencies] or [pick(Latencies())])
            yield histogram_family(name, help, _vllm_labels, [(labels, all_classes)])
        steps = self._ledger.step_tokens
        yield histogram_family(
            "vllm:iteration_tokens_total", "Tokens of a step.", _vllm_labels, [(labels, steps)]
        )


Pick = Callable[[Latencies], Histogram]
_own_histograms: tuple[tuple[str, str, Pick], ...] = (
    ("headway:ttft_seconds", "Arrival to first token.", lambda each: each.ttft),
    ("headway:itl_seconds", "Between neighbouring tokens.", lambda each: each.itl),
    ("headway:e2e_seconds", "Arrival to end.", lambda each: each.e2e),
    ("headway:queue_seconds", "Arrival to first step.", lambda each: each.queue),
)
_vllm_latencies: tuple[tuple[str, str, Pick], ...] = (
    ("vllm:time_to_first_token_seconds", "Arrival to first token.", lambda each: each.ttft),
    ("vllm:inter_token_latency_seconds", "Between neighbouring tokens.", lambda each: each.itl),
    ("vllm:request_time_per_output_token_seconds", "Decode per token.", lambda each: each.tpot),
    ("vllm:e2e_request_latency_seconds", "Arrival to end.", lambda each: each.e2e),
    ("vllm:request_queue_time_seconds", "Arrival to first step.", lambda each: each.queue),
    ("vllm:request_prefill_time_seconds", "First step to first token.", lambda each: each.prefill),
    ("vllm:request_decode_time_seconds", "First token to end.", lambda each: each.decode),
)


def _ended(ledger: Ledger) -> dict[Reason, int]:
    """Sequences of all classes."""
    totals = dict.fromkeys(Reason, 0)
    for (_, reason), count in ledger.finished.items():
        totals[reason] += count
    return totals


def _merged(histograms: list[Histogram]) -> Histogram:
    merged = Histogram(histograms[0].bounds)
    for histogram in histograms:
        merged.add(histogram)
    return merged
