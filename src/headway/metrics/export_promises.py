"""What /metrics shows of service classes: promises kept and missed, where time went, what cannot be kept."""

from collections.abc import Iterator

from prometheus_client.metrics_core import Metric

from headway.core.types import Shares
from headway.metrics.families import counter, gauge, histogram_family
from headway.metrics.ledger import Ledger
from headway.metrics.promises import SLOS
from headway.metrics.trial import OUTCOMES


def promise_metrics(ledger: Ledger) -> Iterator[Metric]:
    """Every class with each of its targets, from the start on; a count once shown stays."""
    labels = ("class", "slo")
    promised = [
        (name, slo)
        for name, kept in ledger.kept.items()
        for slo, target in zip(SLOS, ledger.known[name].targets, strict=True)
        if target is not None or kept.attained[slo] or kept.violated[slo]
    ]
    attained = [((name, slo), ledger.kept[name].attained[slo]) for name, slo in promised]
    yield counter(
        "headway:slo_attained", "Requests that met a target of the class asked for.", labels, attained
    )
    violated = [((name, slo), ledger.kept[name].violated[slo]) for name, slo in promised]
    yield counter("headway:slo_violated", "Requests that missed it.", labels, violated)
    good = [((name,), kept.good) for name, kept in ledger.kept.items()]
    yield counter("headway:goodput_requests", "Complete requests that met every target.", ("class",), good)
    tokens = [((name,), kept.good_tokens) for name, kept in ledger.kept.items()]
    yield counter("headway:goodput_tokens", "Their output tokens.", ("class",), tokens)
    shares = [
        ((name, share), latencies.shares[share])
        for name, latencies in sorted(ledger.latencies.items())
        for share in Shares._fields
    ]
    words = "Where the time of a complete answer went."
    yield histogram_family("headway:time_share_seconds", words, ("class", "share"), shares)
    retunes = [((outcome,), ledger.retunes[outcome]) for outcome in OUTCOMES]
    yield counter("headway:retunes", "Live changes by what became of them.", ("outcome",), retunes)
    words = "1 while a live change may still be rolled back."
    yield gauge("headway:retune_on_trial", words, (), [((), float(ledger.on_trial))])
    yield from _outlook(ledger)


def _outlook(ledger: Ledger) -> Iterator[Metric]:
    step = ledger.last_step
    if step is None:
        return
    words = "Of late: the median of |actual / forecast - 1| of a step."
    yield gauge("headway:forecast_error_ratio", words, (), [((), step.forecast_error)])
    words = "Time of a step / its forecast."
    yield histogram_family("headway:forecast_ratio", words, (), [((), ledger.forecast_ratio)])
    targets = [
        ((name, target), float((name, target) in step.infeasible))
        for name, service_class in ledger.classes.items()
        for target, s in zip(("ttft", "itl", "deadline"), service_class.targets, strict=True)
        if s is not None
    ]
    paying = [((name,), float(name in ledger.paying.names)) for name in ledger.classes]
    words = "1: not all promises can be kept at the present rate, and this class's are not."
    yield gauge("headway:paying", words, ("class",), paying)
    words = "1: no load, however small, would meet it."
    yield gauge("headway:infeasible", words, ("class", "target"), targets)
