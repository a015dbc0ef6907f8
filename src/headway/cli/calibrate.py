"""`headway calibrate`: measure what steps cost on this machine, and write it down as a profile.

The rig is imported when measuring begins: it brings torch, which the other commands do without.
"""

import subprocess
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from os import environ
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from headway.bench.calibrate import Measured, World, measure
from headway.bench.drive import Driver
from headway.bench.fit import errors, fit_cost, fit_forecast, fit_host
from headway.bench.grid import Room, grid
from headway.bench.host import host_gaps
from headway.bench.others import others_s
from headway.cli import flags
from headway.cli.calibrated import show, summary
from headway.cli.ending import last_line, told_plainly
from headway.cli.engine import spin_briefly
from headway.cli.startup import show_phase
from headway.config import Settings
from headway.config_sources import load_settings
from headway.hub import default_cache_dir, resolve
from headway.profile.cost import ROW_KNOTS, TOKEN_KNOTS, cost_of
from headway.profile.file import VERSION, Calibration, Cost, Host, Made, Peaks, write_profile
from headway.profile.whose import no_profile, this_model, usual_place
from headway.sizing import free_memory_bytes, size_up
from headway.spec import ModelSpec, read_spec
from headway.terminal import counting, fetching

if TYPE_CHECKING:
    from headway.cli.rig import Rig

most_kv_bytes = 3 << 29  # of the pool: it is written once, and takes as much memory
noisy_share = 0.2  # of the windows disturbed, from which on the machine was not quiet


def calibrate(
    context: typer.Context,
    model: flags.Model = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=3600, help="Measure for about so long.")] = 60.0,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where to.  Default: the cache folder.", show_default=False),
    ] = None,
    threads: flags.Threads = None,
    kernels: flags.KernelNames = None,
    kv_cache_memory: flags.KvCacheMemory = None,
    block_size: flags.BlockSize = None,
    json: flags.Json = False,
) -> None:
    """Measure what steps cost on this machine, and write a profile.

    The executor runs a grid of batches: decodes, prompts, both together. A formula is fitted to three
    quarters of them and judged by the others. `serve` and `run` begin their forecasts with the profile of
    their model and machine, and the simulator runs on it. Nothing else should run meanwhile: what was
    disturbed is measured again, and that it was is said.
    """
    with told_plainly(as_json=json):
        settings = load_settings(flags.settings_among(context.params), environ)
        with fetching(settings.model) as progress:
            path = resolve(settings.model, progress=progress)
        spec = read_spec(path)
        settings = _settings(settings, spec)
        spin_briefly()
        from headway.cli.rig import Rig

        with closing(Rig(settings, path, show_phase)) as rig:
            found = _calibration(rig, settings, spec, seconds)
        place = output or usual_place(found.model, found.machine, default_cache_dir())
        write_profile(found, place)
    show(found, place)
    if json:
        last_line({"profile": str(place), **summary(found)})


def _settings(settings: Settings, spec: ModelSpec) -> Settings:
    """Nothing is known yet, and no more memory is taken than the grid needs."""
    facts = size_up(settings, spec, free_memory_bytes())
    kv_bytes = settings.kv_cache_memory or min(facts.kv_bytes, most_kv_bytes)
    return replace(settings, profile=no_profile, kv_cache_memory=kv_bytes)


def _calibration(rig: "Rig", settings: Settings, spec: ModelSpec, seconds: float) -> Calibration:
    from headway.executors.peaks import measure_peaks

    built = rig.built
    facts = built.facts
    built.kv.take_memory()
    peaks = Peaks(*measure_peaks(built.machine.threads))
    driver = Driver(rig.step, facts.blocks, facts.block_size, facts.vocab)
    wanted = grid(Room(facts.kv_tokens, facts.max_model_len))
    with counting("measuring, percent", 100, shown=True) as count:
        shown = 0

        def told(share: float) -> None:
            nonlocal shown
            while shown < int(100 * share):
                shown += 1
                count()

        measured = measure(wanted, driver.visit, seconds, World(monotonic, others_s), told)
    driver.clear()
    host_s = fit_host(host_gaps(rig.serve, facts.vocab, settings.max_num_seqs))
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
