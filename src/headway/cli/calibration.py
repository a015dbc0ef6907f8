"""A calibration from beginning to end: an engine's executor over the grid, the engine itself, the peaks, a
server; then the fits. Owns the order. Importing this brings torch.
"""

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version as version_of
from operator import length_hint
from pathlib import Path
from time import monotonic
from typing import NamedTuple

from headway.bench.calibrate import Measured, World, measure
from headway.bench.drive import Driver
from headway.bench.fit import errors, fit_cost, fit_forecast, fit_line
from headway.bench.grid import Room as GridRoom
from headway.bench.grid import grid
from headway.bench.host import host_gaps
from headway.bench.others import others_s
from headway.bench.served import serving, usage
from headway.bench.way import Place, StepSeconds, measure_way
from headway.cli.rig import Rig
from headway.cli.startup import show_phase
from headway.config import Settings
from headway.executors.peaks import measure_peaks
from headway.profile.cost import ROW_KNOTS, TOKEN_KNOTS, cost_of
from headway.profile.file import VERSION, Calibration, Cost, Host, Machine, Made, Peaks, Room, Served
from headway.profile.whose import no_profile, this_model
from headway.spec import ModelSpec
from headway.terminal import counting

noisy_share = 0.2  # of visits disturbed, from which on the machine was not quiet


class _Steps(NamedTuple):
    """What was found on the executor."""

    machine: Machine
    peaks: Peaks
    host: Host
    measured: Measured


def calibration(settings: Settings, path: Path, spec: ModelSpec, seconds: float) -> Calibration:
    """Raises NotServed where the server that is asked at the end does not come up."""
    with closing(Rig(settings, path, show_phase)) as rig:
        steps = _on_executor(rig, seconds)
    measured = steps.measured
    factors = fit_cost(measured.steps)
    served, room = _over_http(settings, steps.machine, spec.vocab, cost_of(factors))
    return Calibration(
        version=VERSION,
        made=_made(measured),
        machine=steps.machine,
        model=this_model(spec, settings.model),
        peaks=steps.peaks,
        host=steps.host,
        served=served,
        room=room,
        cost=Cost(TOKEN_KNOTS, ROW_KNOTS, factors, tuple(measured.noise)),
        forecast=fit_forecast(measured.steps),
        errors=errors(measured.steps, cost_of(factors)),
        steps=tuple(measured.steps),
    )


def _on_executor(rig: Rig, seconds: float) -> _Steps:
    built = rig.built
    facts = built.facts
    built.kv.take_memory()
    peaks = Peaks(*measure_peaks(built.machine.threads))
    driver = Driver(rig.step, facts.blocks, facts.block_size, facts.vocab)
    wanted = grid(GridRoom(facts.kv_tokens, facts.max_model_len))
    with _percents() as told:
        measured = measure(wanted, driver.visit, seconds, World(monotonic, others_s), told)
    driver.clear()
    host_s = fit_line(host_gaps(rig.serve_together, facts.vocab))
    return _Steps(built.machine, peaks, Host(*host_s), measured)


def _over_http(settings: Settings, machine: Machine, vocab: int, step_s: StepSeconds) -> tuple[Served, Room]:
    """Of a server as it is usually started, but for the arithmetic, which is what was measured, and without
    promises, for which it would cut prompts.
    """
    arithmetic = ("--threads", str(machine.threads), "--kernels", settings.kernels)
    classes = ("--class", "chat:ttft=none,itl=none", "--class", "interactive:ttft=none,deadline=none")
    start_s = monotonic()
    with serving(settings.model, (*arithmetic, *classes, "--profile", no_profile)) as server:
        room = Room(server.kv_tokens, server.max_model_len())
        place = Place(server.target, vocab, room.max_model_len, partial(usage, server))
        way = asyncio.run(measure_way(place, step_s))
    show_phase("asked over HTTP", monotonic() - start_s)
    return Served(*fit_line(way.requests_s), *fit_line(way.gaps_s)), room


@contextmanager
def _percents() -> Iterator[Callable[[float], None]]:
    """A bar that is told the share done."""
    with counting("measuring, percent", 100, shown=True) as count:
        percents = iter(range(100))

        def told(share: float) -> None:
            while share > (100 - length_hint(percents)) / 100:
                next(percents)
                count()

        yield told


def _made(measured: Measured) -> Made:
    date = datetime.now(UTC).isoformat(timespec="seconds")
    quiet = measured.disturbed < noisy_share
    return Made(
        date, version_of("headway"), _commit(), round(measured.took_s, 1), quiet, round(measured.disturbed, 3)
    )


def _commit() -> str:
    """Of the sources that run, where they lie in a repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short=12", "HEAD"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return ran.stdout.strip()
