"""A step in the making for the adaptive policy: from deadlines to how long it may take, and who fits into
that. Decides neither the order of prompts nor who is late."""

from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from math import inf

from headway.core.forecast import Load
from headway.core.learned import tight
from headway.core.policies.preference import Ranking, View, decoding
from headway.core.policies.urgency import Job
from headway.core.sequence import Sequence
from headway.core.slo import first_due_s

least_chunk = 4  # tokens of a prompt's slice, unless it has fewer left
overdue_share = 0.075  # of the time for those that have waited longest, and of a step for one of them
floor_share = 0.25  # of the bare decode step: what a prompt at risk may add though no slack is left
arrival_share = 0.25  # of the tightest first-token target: no longer a step, where no stream says otherwise,
efficient_share = 0.5  # unless prompts would go at less than this share of their best rate
most_targets = 2.0  # tightest first-token targets that a step may last: who comes meanwhile waits for half
pace_share, rest_share = 0.9, 0.8  # of the pace that decodes alone may take: with promises, and of others
rest_slack, least_in_time = 0.3, 0.75  # of the slack: for lower levels; for prompts in time, in any case
spare_gaps = 0.05  # of an answer's may come late by its promise: for prompts, where the slack is scant
lately_s = 30.0  # a class that had a request since then is reckoned with


class Draft:
    """`share`: of its slack that a stream's next step may take up, and of its pace that all streams may.
    Streams are *firm* while their promise stands, *riders* where the first token came too late but not yet
    the next ones, and *loose* otherwise. The firm ones alone decide how long others' prompts may take."""

    def __init__(self, view: View, now: float, share: float) -> None:
        self._view, self.now, self._share = view, now, max(share, least_in_time)
        self._learned, self._forecast = view.learned, view.learned.forecast
        self.top = min((s.level for s in (*view.running[:1], *view.waiting[:1])), default=0)
        decodes = decoding(view)
        firm = [s for s in decodes if s.level == self.top and not s.missed]
        late = (s for s in decodes if s.level == self.top and s.missed)
        riders = [s for s in late if s.targets.itl_s and not s.targets.deadline_s]
        kept = {s.id for s in (*firm, *riders)}
        self.loose = [s for s in decodes if s.id not in kept]
        self._ranking: Ranking = [(s, 1) for s in firm]
        self._load = Load(len(firm), len(firm), sum(s.granted + 1 for s in firm), 0)
        self.crowded = False  # not all can be in time: long steps for many then, not short ones for one
        self._end_s = inf  # until the first tokens that this step brings are due
        self._slack_s, riders_slack_s = self._slack_of(firm), self._slack_of(riders)
        self._add_streams(riders, pace_share * self._slack_s)  # all together, if they cost no promise
        self._bare_s = self._forecast.safe_seconds(self._load)
        some_s = self._forecast.safe_seconds(self._load.and_slice(0, 2 * least_chunk))  # or one deep in
        self._floor_s = max((1.0 + floor_share) * self._bare_s, some_s)
        targets_s = (c.ttft_p95_s or inf for c in self._learned.classes.values())
        tightest_s = min((s for s in targets_s if s >= self._learned.bare_s), default=inf)
        calm, efficient_s = self._slack_s == inf, self._forecast.efficient_step(efficient_share)[0]
        fill_s = max(arrival_share * tightest_s, efficient_s, self._floor_s)
        self._step_s = fill_s if calm else self._slack_s
        bear = (s.late_gaps < spare_gaps * s.expected_tokens - 1.0 for s in firm if s.due_s < inf)
        alone = calm or (self._slack_s < efficient_s and all(bear))
        self._most_s = most_targets * tightest_s if alone else 0.0  # of a step for a prompt at risk alone
        self._fill_s = min(fill_s, self._step_s, max(riders_slack_s, self._floor_s))  # without a promise
        rest_s = max(rest_slack * share * self._step_s, efficient_s if calm else self._floor_s)
        self._rest_s = min(self._fill_s, rest_s)  # of lower levels
        top = {s.service_class.name for s in view.running if s.level == self.top}
        self._pace_s = self._learned.pace_s(*top)
        known, records = self._learned.known, self._learned.records.items()
        coming = [n for n, r in records if now - r.seen_s < lately_s and known[n].level <= self.top]
        self._coming_pace_s = min(self._pace_s, self._learned.pace_s(*coming))
        most, easy_s = view.max_step_tokens, max(self._step_s, fill_s)  # a stream that hurries has soon gone
        tokens = self._forecast.most_tokens(self._load, 0, most, easy_s) or least_chunk
        self.token_s = self._forecast.seconds(self._load.and_slice(0, tokens)) / tokens  # of a prompt
        self._entering, self._closed_s = 0, 0.0  # how many want to join; the pace for which nobody else may
        self._contexts = list(accumulate((s.known for s in view.running), initial=0))

    @property
    def seconds(self) -> float:
        return self._forecast.seconds(self._load)

    def _slack_of(self, streams: list[Sequence]) -> float:
        """How long the next step may be for all of them. inf: none of them minds."""
        least_s = tight * self._learned.bare_s  # who is due sooner minds in vain, or would stop others
        minding = [s for s in streams if least_s <= s.due_s - s.last_token_s < inf]
        ends_s = (s.last_token_s + self._share * (s.due_s - s.last_token_s) for s in minding)
        return min(ends_s, default=inf) - self.now

    def job(self, sequence: Sequence) -> Job:
        """A prompt, or text that is computed again, with its deadline and its work."""
        due_s = sequence.due_s
        if sequence.first_token_s is None:
            decode_s = self._bare_s * sequence.expected_tokens
            due_s = first_due_s(sequence.targets, sequence.request.arrival_s, decode_s)
        work_s = (tokens := sequence.remaining - sequence.hits) * self.token_s
        if self._most_s and tokens <= self._view.max_step_tokens:
            own_s = self._forecast.seconds(self._load.and_slice(sequence.granted + sequence.hits, tokens))
            work_s = own_s if own_s <= min(self._most_s, work_s) else work_s
        end_s = inf if sequence.missed else due_s
        soon_s = end_s - self._fill_s  # a token comes at its step's end, not when its work is done
        return Job(sequence, soon_s if self.now + work_s <= soon_s else end_s, work_s, end_s)

    def add_in_time(self, job: Job) -> None:
        sequence, within_s = job.sequence, self._step_s
        self._pace_s = min(self._pace_s, own_pace_s := self._learned.pace_s(sequence.service_class.name))
        pace_s = self._pace_s if own_pace_s < inf else self._coming_pace_s
        if job.due_s - self.now - job.work_s < within_s:  # it cannot wait for more slack
            own_s = self._forecast.safe_seconds(self._load.and_slice(sequence.granted, sequence.remaining))
            in_time = sequence.level == self.top and self.now + job.work_s <= job.end_s
            within_s = max(within_s, self._floor_s, min(self._most_s, own_s) if in_time else 0.0)
        self._add_prompt(job, within_s, pace_share * self._share * pace_s)

    def add_rest(self, jobs: Iterable[Job]) -> None:
        """With what the promises leave: the loose streams, then these."""
        self._add_streams(self.loose, self._rest_s)
        entry_s = min(self._fill_s, rest_share * self._share * self._coming_pace_s)  # the next find room
        for job in jobs:
            within_s = self._fill_s if job.sequence.level == self.top else self._rest_s
            self._add_prompt(job, within_s, entry_s)

    def add_overdue(self, sequence: Sequence) -> None:
        """Before all others, slack or none, it gets a share of what they do, or what it was given."""
        given = (count for s, count in self._ranking if s is sequence)
        most = max(least_chunk, int(overdue_share * self._load.tokens), *given)
        others = [each for each in self._ranking if each[0] is not sequence]
        self._ranking = [(sequence, min(most, max(1, self._view.max_step_tokens // 2))), *others]

    def _add_streams(self, streams: list[Sequence], within_s: float) -> None:
        """Whoever has been longest without a token first, as many as there is time for; one of the loose."""
        streams.sort(key=lambda s: (s.level, s.last_token_s, s.id))
        contexts = list(accumulate((s.granted + 1 for s in streams), initial=0))

        def seconds(count: int) -> float:
            return self._forecast.safe_seconds(self._load.and_load(Load(count, count, contexts[count], 0)))

        fit = bisect_right(range(1, len(streams) + 1), min(within_s, self._end_s), key=seconds)
        fit = max(fit, min(len(streams), int(streams is self.loose or not self._load.tokens)))
        self._load = self._load.and_load(Load(fit, fit, contexts[fit], 0))
        self._ranking += [(s, 1) for s in streams[:fit]]

    def alternatives(self) -> tuple[Ranking, ...]:
        """The step; and everyone else who runs, so that nobody holds blocks that the step is in need of."""
        ranked, most = {s.id for s, _ in self._ranking}, self._view.max_step_tokens
        return self._ranking, [(s, most) for s in self._view.running if s.id not in ranked]

    def _add_prompt(self, job: Job, within_s: float, decode_s: float) -> None:
        """What fits into `within_s`; of one that has yet to join, if all then decode within `decode_s`."""
        sequence, within_s = job.sequence, min(within_s, self._end_s)
        room = min(sequence.remaining, self._view.max_step_tokens - self._load.tokens)
        some = min(room, least_chunk)
        fits = self._forecast.safe_seconds(self._load.and_slice(sequence.granted, some)) <= within_s
        if room > 0 and (fits or not self._load.tokens) and self._may_run(sequence, decode_s):
            count = max(self._forecast.most_tokens(self._load, sequence.granted, room, within_s), some)
            self._entering += not sequence.blocks
            self._ranking.append((sequence, count))
            self._load = self._load.and_slice(sequence.granted, count)
            if count == sequence.remaining and not self.crowded and self.seconds <= job.end_s - self.now:
                self._end_s = min(self._end_s, job.end_s - self.now)

    def _may_run(self, sequence: Sequence, decode_s: float) -> bool:
        """It does, or there is a place for it, and with it a step of decodes alone stays short enough."""
        if decode_s <= self._closed_s and not sequence.blocks:
            return False
        running = bisect_right(self._view.running, sequence.level, key=lambda s: s.level)
        many = running + self._entering + 1
        if sequence.blocks or many == 1:
            return True
        context = self._contexts[running] + sequence.known
        enters = self._forecast.safe_seconds(Load(many, many, context, 0)) <= decode_s
        if not enters or running >= self._view.max_seqs:
            self._closed_s = decode_s if not enters else inf
        return self._closed_s < decode_s
