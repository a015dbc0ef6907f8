"""`headway tune`: which settings to serve a model with on this machine, simulated first, then measured."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from headway.bench.fields import BadWorkload
from headway.bench.served import NotServed
from headway.classes import read_classes
from headway.cli import bench_flags
from headway.cli.ending import last_line, sigterm_as_ctrl_c, told_plainly
from headway.cli.flags import Json
from headway.cli.sim_own import Own, own_profile, server_flags
from headway.cli.sim_setup import Asked, arriving, check_among, read_load, set_up, told_of
from headway.cli.tune_systems import Measured, Work, measured, simulated
from headway.cli.tune_trials import Trials
from headway.config import ConfigError
from headway.config_sources import as_file
from headway.profile.file import BadProfile
from headway.terminal import live_line, show_table
from headway.tune.search import Score, Scored, Try, chosen, finalists, largest_rate, refined, rough
from headway.tune.settings import USES, Tuned, Use, grid, usual

default_model, default_use = "smollm2", "mix"
default_seconds = 30.0
first_rate = 1.0  # requests per second that the search for a rate begins with
leading = 4  # of the first trials, whose largest rate counts
no_more_again_s = 300.0  # since the start: what was disturbed later is not measured again


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel="Search", **more)


Model = Annotated[str, typer.Argument(help="As headway serve takes it.")]
For = Annotated[
    str, _option(f"What it is for: {', '.join(USES)}. Says where the search begins, and who asks.", "--for")
]
Rate = Annotated[
    float | None,
    _option(
        "Requests per second to tune for. Default: the most that any settings hold in simulation.",
        min=1e-3, max=1e4, show_default=False,
    ),
]  # fmt: skip
Profile = Annotated[
    Path | None,
    _option(
        "What headway calibrate wrote. Default: this machine's own; measured first if there is none.",
        metavar="FILE", show_default=False,
    ),
]  # fmt: skip
Confirm = Annotated[
    int,
    _option("So many of the best are measured, beside what serve has by default; 0: none.", min=0, max=50),
]
Seconds = Annotated[
    float | None,
    _option(
        f"Of arrivals in a trial. Default: {default_seconds:g}.", min=5.0, max=3600.0, show_default=False
    ),
]
Output = Annotated[
    Path, _option("The settings, for headway serve --config; no file that exists is written over.")
]


def tune_command(
    model: Model = default_model,
    use: For = default_use,
    rate: Rate = None,
    classes: bench_flags.Classes = None,
    workload: bench_flags.Workload = None,
    lengths: bench_flags.Lengths = None,
    trace: bench_flags.Trace = None,
    trace_kind: bench_flags.TraceKind = None,
    mix: bench_flags.Mix = None,
    arrivals: bench_flags.Arrivals = None,
    profile: Profile = None,
    confirm: Confirm = 3,
    seconds: Seconds = None,
    seed: bench_flags.Seed = 1,
    output: Output = Path("headway-tuned.yaml"),
    json: Json = False,
) -> None:
    """Find the policy, the step's length and the number of sequences that serve best on this machine.

    Settings are simulated on what `headway calibrate` measured, the best few are measured over HTTP, and the
    best of those is written down for `headway serve --config`. Best is who meets the classes' promises for
    the most requests; for batch, who makes the most tokens.
    """
    began_s = time.monotonic()
    with told_plainly(as_json=json), sigterm_as_ctrl_c():
        check_among("--for", use, USES)
        _check_new(output)
        asked = Asked(
            model=model, profile=profile, classes=classes, workload=workload, lengths=lengths, trace=trace,
            trace_kind=trace_kind, mix=mix, arrivals=arrivals,
        )  # fmt: skip
        work = _work(asked, USES[use], rate, seconds, seed)
        own = _own(asked)
        setup = set_up(Asked(profile=own.profile, classes=classes))
        attempt = simulated(setup, work)
        typer.echo(f"headway: {setup.machine.title}, {setup.machine.words}", err=True)
        found = _simulated(attempt, work, USES[use], rate)
        flags = server_flags(replace(asked, profile=own.profile), own)
        trials = Trials(measured(own.model, flags, work, found.rate), began_s + no_more_again_s)
        if confirm:
            trials.measure(finalists(found.ranked, usual(), confirm))
        tried = [*trials.runs] or [found.ranked[0].tuned]
        predicted = {tuned: attempt(tuned, found.rate, 1) for tuned in tried}
        best = _best(trials, predicted, confirm)
        lines = [_line(tuned, run, predicted[tuned]) for tuned, run in trials.runs.items()]
        _show(lines, trials.failed, work, best)
        how = f"{len(trials.runs)} settings measured" if trials.runs else "simulated, none measured"
        _write(output, _config(best, asked, own, f"{model} --for {use}, {_at(found, work)}, {how}"))
    if json:
        last_line({"model": model, "for": use, "rate": None if work.at_once else found.rate,
                   "profile": str(own.profile), "tried": found.tried, "settings": best.settings,
                   "predicted": predicted[best].goodput, "config": str(output),
                   "compared": lines, "failed": trials.failed, "broken_off": trials.left})  # fmt: skip


def _check_new(path: Path) -> None:
    """Before the work, not after it."""
    if os.path.lexists(path):
        raise ConfigError(f"--output {path}: it exists; name another, or move it away")
    if not os.access(path.absolute().parent, os.W_OK):
        raise ConfigError(f"--output {path}: it cannot be written there")


def _work(asked: Asked, use: Use, rate: float | None, seconds: float | None, seed: int) -> Work:
    """Raises ConfigError or BadWorkload."""
    if use.at_once:
        given = {"--rate": rate, "--seconds": seconds, "--arrivals": asked.arrivals}
        for flag in (flag for flag, value in given.items() if value is not None):
            raise ConfigError(f"{flag}: for batch all is there from the start; leave it out")
    with told_of("--class"):
        classes = read_classes(";".join(asked.classes or ()))
    named = asked.workload or asked.lengths or asked.trace or asked.mix
    load = read_load(asked, classes) if named else arriving(use.workload, asked.arrivals, None)
    return Work(load, classes, use.at_once, seconds or default_seconds, seed)


def _own(asked: Asked) -> Own:
    """With a calibration before, if this machine has none."""
    try:
        return own_profile(asked)
    except BadProfile:
        if asked.profile is not None:
            raise
    typer.echo("headway: no profile of this model and machine yet; measuring one, a minute", err=True)
    command = [sys.executable, "-m", "headway.cli", "calibrate", asked.model or default_model]
    calibrating = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # what it says goes to our stderr
    try:
        failed = calibrating.wait()
    except KeyboardInterrupt:
        calibrating.terminate()
        calibrating.wait()
        raise
    if failed:
        raise ConfigError("calibration failed; `headway calibrate` alone says more")
    return own_profile(asked)


@dataclass(frozen=True, slots=True)
class _Found:
    rate: float
    ranked: Sequence[Scored]
    tried: int  # settings


def _simulated(attempt: Try, work: Work, use: Use, rate: float | None) -> _Found:
    with live_line() as tell:
        tried = set[Tuned]()

        def told(tuned: Tuned, at: float, draws: int) -> Score:
            tried.add(tuned)
            tell(f"simulating, {len(tried)} settings so far: {tuned}, {at:.3g} requests/s")
            return attempt(tuned, at, draws)

        start = rate or (first_rate if work.at_once else largest_rate([usual()], first_rate, told))
        first = rough(grid(use), start, told)
        leaders = [each.tuned for each in first[:leading]]
        most = start if rate or work.at_once else largest_rate(leaders, start, told)
        ranked = refined(first, most, told)
    if not ranked[0].score.goodput:
        raise BadWorkload("in simulation no settings meet these promises for anybody; loosen --class")
    return _Found(most, ranked, len(tried))


def _best(trials: Trials, predicted: Mapping[Tuned, Score], confirm: int) -> Tuned:
    """Raises NotServed where everything that was to be measured failed, KeyboardInterrupt where nothing was
    by then."""
    if trials.runs:
        return chosen([Scored(tuned, run.score) for tuned, run in trials.runs.items()], predicted)
    if trials.left:
        raise KeyboardInterrupt
    if confirm:
        why = next(iter(trials.failed.values()))
        raise NotServed(f"nothing could be measured, and nothing is written: {why}")
    return next(iter(predicted))


def _line(tuned: Tuned, run: Measured, predicted: Score) -> dict[str, Any]:
    """The prediction is of the requests that were measured."""
    return {
        **tuned.settings,
        "predicted": predicted.goodput,
        "measured": run.score.goodput,
        "attainment": run.score.attainment,
        "completion": run.score.completion,
        "counts": run.counts,
    }


def _at(found: _Found, work: Work) -> str:
    return "all at once" if work.at_once else f"at {found.rate:.3g} requests/s"


def _config(best: Tuned, asked: Asked, own: Own, what: str) -> str:
    """With the arithmetic that was measured."""
    machine = own.calibration.machine
    settings: dict[str, Any] = {
        **best.settings,
        "threads": machine.threads,
        "kernels": machine.kernels.split()[0],
    }
    if asked.profile is not None:
        settings["profile"] = str(asked.profile.absolute())
    if asked.classes:
        settings["class"] = asked.classes
    head = f"# headway tune {what}, {datetime.now(UTC):%Y-%m-%d}\n"
    return head + as_file(settings)


def _write(path: Path, text: str) -> None:
    """Raises ConfigError."""
    lost = f"it would have had:\n{text}"
    try:
        file = path.open("x")
    except OSError as error:
        raise ConfigError(f"--output {path}: {error.strerror}; {lost}") from error
    try:
        with file:
            file.write(text)
    except OSError as error:
        path.unlink(missing_ok=True)
        raise ConfigError(f"--output {path}: {error.strerror}; {lost}") from error
    typer.echo(f"headway serve --config {path} serves with them", err=True)


def _show(lines: Sequence[dict[str, Any]], failed: dict[str, str], work: Work, best: Tuned) -> None:
    unit = "tokens/s" if work.at_once else "goodput/s"
    head = ("policy", "step", "sequences", "block", f"{unit}, simulated", "measured", "met", "")
    table = Table(*head, box=None)
    for line in lines:
        settings = [str(line[key]) for key in best.settings]
        figures = [f"{line['predicted']:.2f}", f"{line['measured']:.2f}", f"{line['attainment']:.0%}"]
        notes = ["best"] * (settings == [str(value) for value in best.settings.values()])
        notes += ["disturbed"] * (not line["counts"])
        table.add_row(*settings, *figures, ", ".join(notes))
    if lines:
        show_table(table)
    for what, why in failed.items():
        typer.echo(f"{what}: {why.splitlines()[0]}")
    typer.echo(f"best: {best}")
