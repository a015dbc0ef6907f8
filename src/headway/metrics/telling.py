"""What the log says of promises: why a request missed one, and which cannot be kept here at all.

Owns how often it speaks: of misses at most once a second for each class, saying how many were passed over; of
what is infeasible when that changes.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from math import inf

from headway.core.types import Shares
from headway.metrics.promises import Miss, Share, Verdict

log = logging.getLogger("headway.slo")

every_s = 1.0
infeasible_words = "a single short request alone would miss it on this machine, so load is not the reason"

_shares = {
    "queue": "waiting in the queue",
    "prefill": "its own prompt",
    "interference": "others' prompts in its steps",
    "decode": "its own decoding",
    "preemption": "having lost its blocks",
    "host": "reading, tokenizing and the time between steps",
}


class Teller:
    def __init__(self) -> None:
        self._told_s: dict[str, float] = {}  # by class
        self._passed_over: Counter[str] = Counter()
        self._infeasible: frozenset[tuple[str, str]] = frozenset()
        self._paying: frozenset[str] = frozenset()

    def missed(self, name: str, request_id: int, verdict: Verdict, spent_ns: Shares, at_s: float) -> None:
        if at_s < self._told_s.get(name, -inf) + every_s:
            self._passed_over[name] += 1
            return
        self._told_s[name] = at_s
        more = self._passed_over.pop(name, 0)
        words = f"; {more} more of that class missed since the last such line" if more else ""
        why = miss_in_words(verdict, spent_ns)
        log.info("request %d of class %s missed %s%s", request_id, name, why, words)

    def infeasible(self, pairs: tuple[tuple[str, str], ...]) -> None:
        now = frozenset(pairs)
        if now == self._infeasible:
            return
        for name, target in sorted(now - self._infeasible):
            log.warning("class %s: its target for %s cannot be kept: %s", name, target, infeasible_words)
        for name, target in sorted(self._infeasible - now):
            log.info("class %s: its target for %s can be kept again", name, target)
        self._infeasible = now

    def paying(self, shares: Mapping[str, Share]) -> None:
        """`shares`: what is kept of late, of the classes that pay."""
        now = frozenset(shares)
        for name in sorted(now - self._paying):
            share = shares[name]
            words = f"{share.good} of its last {share.requests} requests kept it"
            log.warning("not every promise can be kept at the present rate: class %s pays, %s", name, words)
        for name in sorted(self._paying - now):
            log.info("class %s: its promise is kept again", name)
        self._paying = now


def miss_in_words(verdict: Verdict, spent_ns: Shares) -> str:
    """The targets with what was got, and where most of the time went."""
    misses = ", ".join(_miss(miss) for miss in verdict.missed)
    largest = max(Shares._fields, key=lambda share: getattr(spent_ns, share))
    if not any(spent_ns):
        return f"{misses}: it was refused"
    ms = _ms(getattr(spent_ns, largest) / 1e9)
    return f"{misses}: {ms} of {_ms(sum(spent_ns) / 1e9)} went into {_shares[largest]}"


def _miss(miss: Miss) -> str:
    taken = "" if miss.took_s is None else f", {_ms(miss.took_s)} taken"
    return f"{miss.slo} ({_ms(miss.target_s)} promised{taken})"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:,.0f} ms"
