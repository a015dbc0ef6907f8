"""The measurements of `headway tune`: one after another, what fails or is broken off costs nobody else's."""

import time
from collections.abc import Callable, Sequence

import typer

from headway.bench.served import NotServed
from headway.bench.wire import BadTarget
from headway.cli.tune_systems import Measured
from headway.tune.settings import Tuned, other_block_size


class Trials:
    """What was measured, and what could not be."""

    def __init__(self, attempt: Callable[[Tuned], Measured], again_until_s: float) -> None:
        self._attempt, self._again_until_s = attempt, again_until_s
        self.runs: dict[Tuned, Measured] = {}
        self.failed: dict[str, str] = {}
        self.left = False  # by Ctrl-C: what there is by then counts

    def measure(self, settings: Sequence[Tuned]) -> None:
        """And the best of them with other blocks. What was disturbed is measured again, while there is time;
        what fails is told, and the others go on."""
        try:
            for number, tuned in enumerate(settings):
                self._one(tuned, f"{number + 1} of {len(settings) + 1}")
            if self.runs:
                best = max(self.runs.items(), key=lambda item: item[1].score.rank)[0]
                self._one(best._replace(block_size=other_block_size), "with other blocks")
        except KeyboardInterrupt:
            self.left = True
            kept = f"{len(self.runs)} measured by now count" if self.runs else "nothing was measured yet"
            typer.echo(f"headway: broken off; {kept}", err=True)

    def _one(self, tuned: Tuned, which: str) -> None:
        try:
            run = self._attempt(tuned)
            if not run.counts and time.monotonic() < self._again_until_s:
                again = self._attempt(tuned)
                run = again if again.counts else run
        except (NotServed, BadTarget) as error:
            self.failed[str(tuned)] = str(error)
            typer.echo(f"headway: {tuned}: {error}", err=True)
            return
        self.runs[tuned] = run
        cores = ", ".join(f"{name} had {value:.2f} cores" for name, value in run.cores.items())
        doubt = "" if run.counts else f"; disturbed ({cores or 'the client was late'}), take it with care"
        typer.echo(f"headway: measured {which}, {tuned}: {run.score.goodput:.2f}/s{doubt}", err=True)
