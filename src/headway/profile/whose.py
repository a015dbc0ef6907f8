"""Whose a profile is: this model's, this machine's. Where it is kept, and which one an engine begins with.

A profile of another model is refused. One of another machine may serve as a start: the shape of a step's time
is much the same, and the forecast learns the speed within a few steps.
"""

import os
import platform
import re
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from headway.profile.file import BadProfile, Calibration, Machine, Model, read_profile
from headway.spec import ModelSpec

no_profile = "none"  # in place of a file: begin with the built-in guess


class Found(NamedTuple):
    calibration: Calibration | None
    words: str  # for the log: what the forecast begins with, and what is to be known of it


def this_machine(threads: int, kernels: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> Machine:
    return Machine(_processor(cpuinfo), os.cpu_count() or 1, threads, kernels)


def _processor(cpuinfo: Path) -> str:
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine() or "unknown"


def this_model(spec: ModelSpec, name: str) -> Model:
    """`name` is for people: what was asked for, or a file's."""
    dimensions: dict[str, int | float | str | bool] = {
        field: getattr(spec, field)
        for field in ("family", "layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated")
    }
    windowed = [window for window in spec.windows if window is not None]
    dimensions |= {"windowed_layers": len(windowed), "window": min(windowed, default=0)}
    return Model(name[-300:], dimensions, spec.parameters)


def usual_place(model: Model, machine: Machine, cache_dir: Path) -> Path:
    """A name that says whose it is to people, with a digest that says it exactly."""
    exact = repr((sorted(model.dimensions.items()), machine.cpu, machine.cores))
    digest = sha256(exact.encode()).hexdigest()[:8]
    size = f"{model.parameters / 1e6:.0f}m"
    about = f"{model.dimensions['family']}-{size}-{machine.cpu}-{machine.threads}-threads-{machine.kernels}"
    return cache_dir / "profiles" / (re.sub(r"[^a-z0-9]+", "-", about.lower())[:120] + f"-{digest}.json")


def find_profile(asked: str | None, model: Model, machine: Machine, cache_dir: Path) -> Found:
    """The one that was asked for, else the one in its usual place, else none. Raises BadProfile.

    What lies in the usual place was not asked for: if it cannot be used, that is said and the engine starts.
    """
    if asked == no_profile:
        return Found(None, "the built-in guess, as asked")
    if asked is not None:
        found = named_profile(asked, model)
        return Found(found, f"the profile {asked}{_foreign(found, machine)}")
    path = usual_place(model, machine, cache_dir)
    if not path.exists():
        return Found(None, "the built-in guess; `headway calibrate` would measure this machine")
    try:
        found = read_profile(path)
    except BadProfile as why:
        return Found(None, f"the built-in guess: {why}")
    other = model_differs(found.model, model) or machine_differs(found.machine, machine)
    if other:
        return Found(None, f"the built-in guess: {path} is of another model or machine: {other}")
    return Found(found, f"the profile of {found.made.date}, {path}")


def kept_profiles(model: Model, cache_dir: Path) -> dict[Path, Calibration]:
    """Those of this model on this machine, with whatever threads and kernels; what cannot be read is none."""
    found = {}
    for path in sorted((cache_dir / "profiles").glob("*.json")):
        with suppress(BadProfile):  # an older version's, say: it is as if it had not been made
            found[path] = read_profile(path)
    return {
        path: one for path, one in found.items() if not model_differs(one.model, model) and _made_here(one)
    }


def _made_here(found: Calibration) -> bool:
    return not machine_differs(found.machine, this_machine(found.machine.threads, found.machine.kernels))


def named_profile(asked: str, model: Model) -> Calibration:
    """Raises BadProfile."""
    found = read_profile(Path(asked).expanduser())
    other = model_differs(found.model, model)
    if other:
        raise BadProfile(f"--profile {asked}: it is of another model: {other}")
    return found


def _foreign(found: Calibration, machine: Machine) -> str:
    other = machine_differs(found.machine, machine)
    return f", made elsewhere: {other}" if other else ""


def model_differs(theirs: Model, ours: Model) -> str:
    """What differs, "" if nothing does."""
    names = sorted({*theirs.dimensions, *ours.dimensions})
    pairs = ((name, theirs.dimensions.get(name), ours.dimensions.get(name)) for name in names)
    return ", ".join(f"{name} {its} instead of {here}" for name, its, here in pairs if its != here)


def machine_differs(theirs: Machine, ours: Machine) -> str:
    names = ("cpu", "cores", "threads", "kernels")
    pairs = ((name, getattr(theirs, name), getattr(ours, name)) for name in names)
    return ", ".join(f"{name} {its!r} instead of {here!r}" for name, its, here in pairs if its != here)
