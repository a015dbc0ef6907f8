"""A calibration from beginning to end: an engine's executor over the grid, the engine itself, the peaks; then
the fits. Owns the order. Importing this brings torch.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from operator import length_hint
from pathlib import Path
from time import monotonic

from headway.bench.calibrate import Measured, World, measure
from headway.bench.drive import Driver
from headway.bench.fit import errors, fit_cost, fit_forecast, fit_host
from headway.bench.grid import Room, grid
from headway.bench.host import host_gaps
from headway.bench.others import others_s
from headway.cli.rig import Rig
from headway.cli.startup import show_phase
from headway.config import Settings
from headway.executors.peaks import measure_peaks
from headway.profile.cost import ROW_KNOTS, TOKEN_KNOTS, cost_of
from headway.profile.file import VERSION, Calibration, Cost, Host, Made, Peaks
from headway.profile.whose import this_model
from headway.spec import ModelSpec
from headway.terminal import counting

noisy_share = 0.2  # of visits disturbed, from which on the machine was not quiet


def calibration(settings: Settings, path: Path, spec: ModelSpec, seconds: float) -> Calibration:
    with closing(Rig(settings, path, show_phase)) as rig:
        return _calibrated(rig, settings, spec, seconds)


def _calibrated(rig: Rig, settings: Settings, spec: ModelSpec, seconds: float) -> Calibration:
    built = rig.built
    facts = built.facts
    built.kv.take_memory()
    peaks = Peaks(*measure_peaks(built.machine.threads))
    driver = Driver(rig.step, facts.blocks, facts.block_size, facts.vocab)
    wanted = grid(Room(facts.kv_tokens, facts.max_model_len))
    with _percents() as told:
        measured = measure(wanted, driver.visit, seconds, World(monotonic, others_s), told)
    driver.clear()
    host_s = fit_host(host_gaps(rig.serve_together, facts.vocab))
    factors = fit_cost(measured.steps)
    return Calibration(
        version=VERSION,
        made=_made(measured),
        machine=built.machine,
        model=this_model(spec, settings.model),
        peaks=peaks,
        host=Host(*host_s),
        cost=Cost(TOKEN_KNOTS, ROW_KNOTS, factors, tuple(measured.noise)),
        forecast=fit_forecast(measured.steps),
        errors=errors(measured.steps, cost_of(factors)),
        steps=tuple(measured.steps),
    )


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
