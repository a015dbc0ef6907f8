"""`headway calibrate`: measure what steps cost on this machine, and write it down as a profile.

What measures is imported when that begins: it brings torch, which the other commands do without.
"""

from dataclasses import replace
from os import environ
from pathlib import Path
from typing import Annotated

import typer

from headway.cli import flags
from headway.cli.calibrated import show, summary
from headway.cli.ending import last_line, told_plainly
from headway.cli.engine import spin_briefly
from headway.config import Settings
from headway.config_sources import load_settings
from headway.hub import default_cache_dir, resolve
from headway.profile.file import write_profile
from headway.profile.whose import no_profile, usual_place
from headway.sizing import free_memory_bytes, size_up
from headway.spec import ModelSpec, read_spec
from headway.terminal import fetching

most_kv_bytes = 3 << 29  # of the pool: it is written once, and takes as much memory


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
        from headway.cli.calibration import calibration

        found = calibration(settings, path, spec, seconds)
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
