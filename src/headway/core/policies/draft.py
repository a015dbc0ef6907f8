"""A step in the making for the adaptive policy: how long it may take, and who fits into that.

Owns the walk from deadlines to tokens. Decides neither the order of prompts nor who is late.
"""

from itertools import accumulate
from math import inf

from headway.core.forecast import Load
from headway.core.policies.preference import Ranking, View
from headway.core.policies.urgency import Job
from headway.core.sequence import Sequence
from headway.core.slo import first_due_s, pace_s

least_chunk = 16  # tokens of a prompt's slice, unless it has fewer left
floor_share = 0.25  # of the bare decode step: what a prompt at risk may add though no slack is left
arrival_share = 0.25  # of the tightest first-token target: an arrival finds no longer step, unless a stream
efficient_share = 0.5  # allows it, or prompts would go at less than this share of their best rate
pace_share = 0.85  # of its streams' pace that a step of decodes alone may take; the rest is for prompts
lately_s = 30.0  # a class that had a request since then is reckoned with
crowded_share = 0.5  # of that pace: from here on fewer streams would make the gaps shorter
usual_share = 1.1  # of a step of decodes alone: what a stream with a deadline gets, for it governs the steps


class Draft:
    """`places`: sequences that may run."""

    def __init__(self, view: View, now: float, decodes: list[Sequence], places: float) -> None:
        self._view, self._now, self._places = view, now, places
        self._forecast = view.forecast
        top = min((s.level for s in (*view.running[:1], *view.waiting[:1])), default=0)
        self._firm = [s for s in decodes if s.level == top and not s.missed]
        self._loose = [s for s in decodes if s.level > top or s.missed]
        self._load = Load(len(self._firm), len(self._firm), sum(s.granted + 1 for s in self._firm), 0)
        bare_s = self._forecast.safe_seconds(self._load)
        self._floor_s = (1.0 + floor_share) * bare_s
        self._fill_s = max(self._arrival_s(), self._floor_s)
        held = {name for name, target in view.infeasible if target == "itl"}
        dues = [s.due_s for s in self._firm if s.due_s < inf and s.service_class.name not in held]
        self._step_s = min(dues) - now if dues else self._fill_s
        self._fill_s = min(self._fill_s, self._step_s)
        lately = [
            name
            for name, record in view.records.items()
            if now - record.seen_s < lately_s and view.classes[name].level <= top
        ]
        self._pace_s = min((self._pace(name) for name in lately if name not in held), default=inf)
        self._token_s = self._prompt_token_s()
        self._bare_s = bare_s
        self.is_crowded = bare_s > crowded_share * self._pace_s  # decodes alone take most of what they may
        self._ranking: Ranking = [(s, 1) for s in self._firm]
        self._closed = False  # nobody else may enter

    def _arrival_s(self) -> float:
        """The longest step where no stream's slack says otherwise."""
        held = {name for name, target in self._view.infeasible if target == "ttft"}
        classes = self._view.classes.values()
        tightest_s = min((c.ttft_p95_s or inf for c in classes if c.name not in held), default=inf)
        return max(arrival_share * tightest_s, self._forecast.efficient_s(efficient_share))

    def _pace(self, name: str) -> float:
        record = self._view.records.get(name)
        return pace_s(self._view.classes[name].targets, inf if record is None else record.output_p90)

    def _prompt_token_s(self) -> float:
        """Seconds that a prompt token takes at the rate of this step, its streams included."""
        step_s = max(self._step_s, self._floor_s)
        tokens = self._forecast.most_tokens(self._load, 0, self._view.max_step_tokens, step_s)
        return step_s / max(tokens, least_chunk)

    def job(self, sequence: Sequence) -> Job:
        """A prompt, or text that is computed again, with its deadline and its work."""
        due_s, work_s = sequence.due_s, sequence.remaining * self._token_s
        targets = sequence.targets
        if sequence.first_token_s is None:
            decode_s = 0.0
            if targets.deadline_s is not None:
                tokens = self._expected(sequence)
                decode_s = usual_share * self._bare_s * tokens
            due_s = first_due_s(targets, sequence.request.arrival_s, decode_s)
        return Job(sequence, inf if sequence.missed else due_s, work_s)

    def _expected(self, sequence: Sequence) -> float:
        """Tokens of its answer."""
        record = self._view.records.get(sequence.service_class.name)
        most = sequence.sampling.max_tokens
        return most if record is None else min(most, record.output_p90)

    def add_first_slice(self, job: Job) -> None:
        """Of one that has waited for as long as its class may: the least there is, slack or none."""
        self._add(job.sequence, min(job.sequence.remaining, least_chunk))

    def add_in_time(self, job: Job) -> None:
        sequence = job.sequence
        if not sequence.blocks and not self._may_enter(sequence, self._pace_limit_s(sequence)):
            return
        within_s = self._step_s
        if job.due_s - self._now - job.work_s < self._step_s:
            within_s = max(within_s, self._floor_s)  # it cannot wait for a step with more slack
        self._add_chunk(sequence, within_s)

    def add_late(self, job: Job) -> None:
        if job.sequence.blocks or self._may_enter(job.sequence, self._fill_s):
            self._add_chunk(job.sequence, self._fill_s)

    def add_loose_streams(self) -> None:
        """Whoever has been longest without a token first, as many as the step still has time for."""
        loose = sorted(self._loose, key=lambda s: (s.level, s.last_token_s, s.id))
        contexts = list(accumulate(s.granted + 1 for s in loose))
        low, high = 0 if self._load.tokens else min(1, len(loose)), len(loose)
        while low < high:
            middle = (low + high + 1) // 2
            with_them = self._load.and_load(Load(middle, middle, contexts[middle - 1], 0))
            if self._forecast.safe_seconds(with_them) <= self._fill_s:
                low = middle
            else:
                high = middle - 1
        if low:
            self._load = self._load.and_load(Load(low, low, contexts[low - 1], 0))
            self._ranking += [(s, 1) for s in loose[:low]]

    def alternatives(self) -> tuple[Ranking, ...]:
        """The step; and everyone else who runs, so that nobody holds blocks that the step cannot do without."""
        ranked = {s.id for s, _ in self._ranking}
        rest = [(s, self._view.max_step_tokens) for s in self._view.running if s.id not in ranked]
        return (self._ranking, rest) if rest else (self._ranking,)

    def _add_chunk(self, sequence: Sequence, within_s: float) -> None:
        room = min(sequence.remaining, self._view.max_step_tokens - self._load.tokens)
        count = self._forecast.most_tokens(self._load, sequence.granted, room, within_s)
        if not self._load.tokens:
            count = max(count, min(room, least_chunk))  # an idle machine always does something
        if count >= min(room, least_chunk):
            self._add(sequence, count)

    def _add(self, sequence: Sequence, count: int) -> None:
        if count <= 0 or any(s is sequence for s, _ in self._ranking[len(self._firm) :]):
            return
        self._ranking.append((sequence, count))
        self._load = self._load.and_slice(sequence.granted, count)

    def _pace_limit_s(self, sequence: Sequence) -> float:
        """How long a step of decodes alone may take once it is one of them."""
        return pace_share * min(self._pace_s, self._pace(sequence.service_class.name))

    def _may_enter(self, sequence: Sequence, decode_s: float) -> bool:
        """Whether it may join those that run: there is a place, and then all decode within `decode_s`."""
        running = [s for s in self._view.running if s.level <= sequence.level]
        if not self._view.running:
            return True
        if self._closed or len(running) >= self._places:
            return False
        entered = sum(not s.blocks for s, _ in self._ranking) + 1
        many = len(running) + entered
        context = sum(s.known for s in running) + sequence.known
        self._closed = self._forecast.safe_seconds(Load(many, many, context, 0)) > decode_s
        return not self._closed
