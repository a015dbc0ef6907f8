"""A step in the making for the adaptive policy: how long it may take, and who fits into that.

Owns the way from deadlines to tokens. Decides neither the order of prompts nor who is late.
"""

from bisect import bisect_right
from itertools import accumulate
from math import inf

from headway.core.forecast import Load
from headway.core.policies.preference import Ranking, View, decoding
from headway.core.policies.urgency import Job
from headway.core.sequence import Sequence
from headway.core.slo import first_due_s

least_chunk = 16  # tokens of a prompt's slice, unless it has fewer left
floor_share = 0.25  # of the bare decode step: what a prompt at risk may add though no slack is left
arrival_share = 0.25  # of the tightest first-token target: an arrival finds no longer step, unless a stream
efficient_share = 0.5  # allows it, or prompts would go at less than this share of their best rate
pace_share = 0.85  # of the streams' pace that a step of decodes alone may take; the rest is for prompts
crowded_share = 0.5  # of that pace: from here on fewer streams would make the gaps shorter
lately_s = 30.0  # a class that had a request since then is reckoned with
usual_share = 1.1  # of a step of decodes alone: what a stream with a deadline gets, for it governs the steps


class Draft:
    """`places`: sequences that may run. `firm` are the streams whose promise stands, `loose` the others."""

    def __init__(self, view: View, now: float, places: float) -> None:
        self._view, self._now, self._places, self._learned = view, now, places, view.learned
        self._forecast = forecast = view.learned.forecast
        self._top = min((s.level for s in (*view.running[:1], *view.waiting[:1])), default=0)
        decodes = decoding(view)
        firm = [s for s in decodes if s.level == self._top and not s.missed]
        self._loose = [s for s in decodes if s.level > self._top or s.missed]
        self._ranking: Ranking = [(s, 1) for s in firm]
        self._load = Load(len(firm), len(firm), sum(s.granted + 1 for s in firm), 0)
        self._bare_s = forecast.safe_seconds(self._load)
        self._floor_s = (1.0 + floor_share) * self._bare_s
        fill_s = max(self._arrival_s(), self._floor_s)
        least_s = view.learned.least_gap_s
        dues = [s.due_s for s in firm if s.due_s < inf and (s.targets.itl_s or inf) >= least_s]
        self._step_s = min(dues) - now if dues else fill_s
        self._fill_s = min(fill_s, self._step_s)  # for those without a promise
        self._pace_s = self._tightest_pace_s()
        easy_s = max(self._step_s, fill_s)  # a stream that hurries has soon gone
        tokens = forecast.most_tokens(self._load, 0, view.max_step_tokens, easy_s)
        self._token_s = easy_s / max(tokens, least_chunk)  # of a prompt
        self._closed = False  # nobody else may enter

    def _arrival_s(self) -> float:
        """The longest step where no stream's slack says otherwise."""
        targets_s = (c.ttft_p95_s or inf for c in self._learned.classes.values())
        tightest_s = min((s for s in targets_s if s >= self._learned.least_gap_s), default=inf)
        return max(arrival_share * tightest_s, self._learned.efficient_s(efficient_share))

    def _tightest_pace_s(self) -> float:
        """Of all classes of this level that have lately had requests, whether or not one runs just now."""
        classes, records = self._learned.known, self._learned.records
        lately = [n for n, record in records.items() if self._now - record.seen_s < lately_s]
        return min((self._learned.pace_s(n) for n in lately if classes[n].level <= self._top), default=inf)

    @property
    def is_crowded(self) -> bool:
        """Decodes alone take most of what they may."""
        return self._bare_s > crowded_share * self._pace_s

    def job(self, sequence: Sequence) -> Job:
        """A prompt, or text that is computed again, with its deadline and its work."""
        due_s = sequence.due_s
        if sequence.first_token_s is None:
            decode_s = usual_share * self._bare_s * sequence.expected_tokens
            due_s = first_due_s(sequence.targets, sequence.request.arrival_s, decode_s)
        return Job(sequence, inf if sequence.missed else due_s, sequence.remaining * self._token_s)

    def add_first_slice(self, sequence: Sequence) -> None:
        """Of one that has waited for as long as its class may: the least there is, slack or none."""
        self._add(sequence, min(sequence.remaining, least_chunk))

    def add_in_time(self, job: Job) -> None:
        pace_s = min(self._pace_s, self._learned.pace_s(job.sequence.service_class.name))
        at_risk = job.due_s - self._now - job.work_s < self._step_s  # it cannot wait for more slack
        within_s = max(self._step_s, self._floor_s) if at_risk else self._step_s
        self._add_prompt(job.sequence, within_s, pace_share * pace_s)

    def add_late(self, job: Job) -> None:
        self._add_prompt(job.sequence, self._fill_s, self._fill_s)

    def add_loose_streams(self) -> None:
        """Whoever has been longest without a token first, as many as the step still has time for."""
        loose = sorted(self._loose, key=lambda s: (s.level, s.last_token_s, s.id))
        contexts = list(accumulate((s.granted + 1 for s in loose), initial=0))

        def seconds(count: int) -> float:
            return self._forecast.safe_seconds(self._load.and_load(Load(count, count, contexts[count], 0)))

        fit = bisect_right(range(1, len(loose) + 1), self._fill_s, key=seconds)
        if loose and not self._load.tokens:
            fit = max(fit, 1)  # an idle machine always does something
        self._load = self._load.and_load(Load(fit, fit, contexts[fit], 0))
        self._ranking += [(s, 1) for s in loose[:fit]]

    def alternatives(self) -> tuple[Ranking, ...]:
        """The step; and everyone else who runs, so that nobody holds blocks that the step is in need of."""
        ranked = {s.id for s, _ in self._ranking}
        rest = [(s, self._view.max_step_tokens) for s in self._view.running if s.id not in ranked]
        return (self._ranking, rest) if rest else (self._ranking,)

    def _add_prompt(self, sequence: Sequence, within_s: float, decode_s: float) -> None:
        """What fits into `within_s`; of one that has yet to join, if all then decode within `decode_s`."""
        if not sequence.blocks and not self._may_enter(sequence, decode_s):
            return
        room = min(sequence.remaining, self._view.max_step_tokens - self._load.tokens)
        count = self._forecast.most_tokens(self._load, sequence.granted, room, within_s)
        if count >= min(room, least_chunk) or not self._load.tokens:
            self._add(sequence, max(count, min(room, least_chunk)))

    def _add(self, sequence: Sequence, count: int) -> None:
        if count > 0:
            self._ranking.append((sequence, count))
            self._load = self._load.and_slice(sequence.granted, count)

    def _may_enter(self, sequence: Sequence, decode_s: float) -> bool:
        """There is a place for it, and with it a step of decodes alone stays short enough."""
        running = [s for s in self._view.running if s.level <= sequence.level]
        if not self._view.running:
            return True
        if self._closed or len(running) >= self._places:
            return False
        many = len(running) + sum(not s.blocks for s, _ in self._ranking) + 1
        context = sum(s.known for s in running) + sequence.known
        self._closed = self._forecast.safe_seconds(Load(many, many, context, 0)) > decode_s
        return not self._closed
