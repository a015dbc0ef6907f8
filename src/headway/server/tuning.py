"""Live changes: one is put in force, is on trial for its window, and is kept or rolled back.

Owns what is in force at this end of the bridge, and what was last kept. A change is checked and handed to the
engine without a pause, so that whatever is classified by it arrives behind it, and two changes never mix.
While one is on trial the next takes its place, and answers for both. Lives on one event loop.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

from headway.core.slo import ServiceClass
from headway.metrics.ledger import Ledger
from headway.metrics.trial import Compared, Rule, Stretch, at_once_by_chance, by_chance, compare
from headway.server.door import now_s
from headway.server.engine_client import EngineClient
from headway.server.listening import EngineGone
from headway.server.schema import Tune
from headway.server.settings import ServerSettings
from headway.server.tuned import Tuned, asked_for, rule_of

log = logging.getLogger("headway.slo")

looked_every_s = 1.0  # while a change is on trial
most_windows = 3  # a trial goes on for so long while a class had too few requests to judge by


class State(StrEnum):
    TRIAL = "trial"
    KEPT = "kept"
    REPLACED = "replaced"  # by the next one, before it was judged
    ROLLED_BACK = "rolled_back"


@dataclass(slots=True)
class LiveChange:
    number: int
    before: Tuned
    now: Tuned
    rule: Rule | None  # None: it stays whatever comes
    back_to: Tuned  # what was last kept
    baseline: Stretch  # in which that was in force
    applied: "asyncio.Future[float]"  # when the engine took it
    begun_s: float  # when it was handed over
    state: State = State.TRIAL
    why: str = ""  # it is no longer on trial
    ended_s: float | None = None
    windows: int = 0  # that are over
    compared: list[Compared] = field(default_factory=list)

    @property
    def applied_s(self) -> float | None:
        """None: the engine has not said so."""
        return self.applied.result() if self.applied.done() and not self.applied.exception() else None


class Tuning:
    def __init__(
        self,
        settings: ServerSettings,
        client: EngineClient,
        ledger: Ledger,
        clock: Callable[[], float] = now_s,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.in_force = Tuned(settings.classes, settings.policy)
        self.last: LiveChange | None = None
        self._settings = settings
        self._client = client
        self._ledger = ledger
        self._clock = clock
        self._sleep = sleep
        self._epoch_s = time.time() - clock()
        self._kept_since_s = -inf  # so long what was last kept has been in force
        self._following: asyncio.Task[None] | None = None

    def change(self, body: Tune) -> LiveChange:
        """Put in force what the body asks for; all of it or, with ApiError 400 or EngineGone, nothing."""
        rule = rule_of(body)
        now = asked_for(body, self.in_force, self._ledger.known, self._settings)
        before, last = self.in_force, self.last
        on_trial = last if last is not None and last.state is State.TRIAL else None
        back_to = before if on_trial is None else on_trial.back_to
        begun_s = self._clock()
        baseline = (
            self._ledger.stretch(self._kept_since_s, begun_s) if on_trial is None else on_trial.baseline
        )
        applied = self._put(now)
        number = 1 if last is None else last.number + 1
        if on_trial is not None:
            self._settle(on_trial, State.REPLACED, f"change {number} took its place")
        self.last = LiveChange(number, before, now, rule, back_to, baseline, applied, begun_s)
        self._ledger.on_trial = True
        log.info("live change %d: %s", number, _in_words(self.last))
        if rule is None:
            self._settle(self.last, State.KEPT, "nothing is judged: rollback is false")
        elif now == back_to:
            self._settle(self.last, State.KEPT, "it is what was last kept")
        else:
            self._following = asyncio.create_task(self._follow(self.last, rule))
        return self.last

    @property
    def known(self) -> Mapping[str, ServiceClass]:
        """Every class there ever was: who has one that was removed is served on."""
        return self._ledger.known

    def compared(self, change: LiveChange) -> list[Compared]:
        """What it is judged by: at its end, or so far."""
        if change.state is not State.TRIAL or change.rule is None or change.applied_s is None:
            return change.compared
        after = self._ledger.stretch(change.applied_s, self._clock())
        old, new = change.back_to.classes, change.now.classes
        return compare(change.baseline, after, old, new, change.rule.window_s)

    def at(self, moment_s: float | None) -> float | None:
        """A moment as people's clocks have it, seconds since 1970."""
        return None if moment_s is None else round(self._epoch_s + moment_s, 3)

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()

    def _put(self, tuned: Tuned) -> "asyncio.Future[float]":
        """Both ends change behind what was handed in so far. Raises EngineGone, and nothing is changed."""
        policy = tuned.policy if tuned.policy != self.in_force.policy else None
        applied = self._client.retune(tuned.classes.values(), policy)
        self._ledger.retune(tuned.classes)
        self.in_force = tuned
        return applied

    async def _follow(self, change: LiveChange, rule: Rule) -> None:
        try:
            await asyncio.shield(change.applied)  # it is not ours alone to cancel
            while change.state is State.TRIAL:
                await self._sleep(min(looked_every_s, rule.window_s))
                self._judge(change, rule, self._clock() - change.applied.result())
        except EngineGone:
            return  # with the engine all has ended, and that is told elsewhere
        except Exception:
            log.exception("live change %d stays unjudged by a mistake of ours", change.number)

    def _judge(self, change: LiveChange, rule: Rule, trial_s: float) -> None:
        """What is certain is done at once, the rest when one of its windows is over."""
        compared = self.compared(change)
        windows, change.windows = change.windows, int(trial_s // rule.window_s)
        over = change.windows > windows  # just now: to look each second would be to try one's luck
        chance = by_chance if over else at_once_by_chance
        fallen = [_fall_in_words(each) for each in compared if each.fell(rule.tolerance, chance)]
        told = all(each.tells or not each.before.requests for each in compared)
        if fallen:
            change.compared = compared
            self._put(change.back_to)
            self._settle(change, State.ROLLED_BACK, f"within {trial_s:.0f} s {'; '.join(fallen)}")
        elif over and (told or change.windows >= most_windows):
            change.compared = compared
            self._settle(change, State.KEPT, _kept_in_words(compared, rule))

    def _settle(self, change: LiveChange, state: State, why: str) -> None:
        if self._following is not None and state is State.REPLACED:
            self._following.cancel()
        change.state, change.why, change.ended_s = state, why, self._clock()
        self._ledger.retunes[state] += 1
        self._ledger.on_trial = False
        if state is not State.REPLACED:
            self._kept_since_s = change.ended_s if state is State.ROLLED_BACK else change.begun_s
        level = logging.WARNING if state is State.ROLLED_BACK else logging.INFO
        log.log(level, "live change %d is %s: %s", change.number, state.replace("_", " "), why)


def _in_words(change: LiveChange) -> str:
    before, now = change.before, change.now
    parts = [f"policy {before.policy} becomes {now.policy}"] if before.policy != now.policy else []
    for verb, names in (
        ("new", now.classes.keys() - before.classes.keys()),
        ("withdrawn", before.classes.keys() - now.classes.keys()),
        ("changed", now.without(before).classes.keys() & before.classes.keys()),
    ):
        parts += [f"class {name} is {verb}" for name in sorted(names)]
    return ", ".join(parts) or "all stays as it is"


def _kept_in_words(compared: list[Compared], rule: Rule) -> str:
    judged, silent = ([each.name for each in compared if each.tells is tells] for tells in (True, False))
    words = [f"no fall by more than {100 * rule.tolerance:g} points: {', '.join(judged)}"] if judged else []
    if silent:
        words.append(f"too few requests to judge by: {', '.join(silent)}")
    return "; ".join(words) or "no class promises anything to judge by"


def _fall_in_words(compared: Compared) -> str:
    then, since = (
        f"{100 * (share.attainment or 0.0):.1f} % of {share.requests}"
        for share in (compared.before, compared.after)
    )
    return f"attainment of class {compared.name} fell from {then} to {since} requests"
