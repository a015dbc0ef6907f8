"""What `headway sim` runs on: a model on devices by their figures, or the machine that a profile was measured
on. Owns what differs between the two once the flags are read.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields

from headway.core.forecast import Profile
from headway.profile.file import BadProfile, Calibration
from headway.sim.deployment import Deployment
from headway.sim.executor import Cost
from headway.sim.faults import Way
from headway.sim.meter import Meter
from headway.sim.models import Dimensions
from headway.sim.profile_cost import profile_cost, profile_way


@dataclass(frozen=True, slots=True)
class Machine:
    """As far as a run needs it, and who reads of the run. A cost is of one run, with the run's seed."""

    model: str
    device: str
    title: str
    words: str  # how the model lies on it
    cost: Callable[[int], Cost]
    metered: Callable[[int], Cost]  # the same seconds; with books, where there are components to book
    tp: int = 1
    pp: int = 1
    dollars_per_hour: float = 0.0
    way: Way | None = None
    profile: Profile = Profile()


def deployed(deployment: Deployment) -> Machine:
    of = deployment
    return Machine(
        model=of.model.name,
        device=of.device.name,
        title=f"{of.model.name} on {of.gpus} x {of.device.name}",
        words=f"TP {of.tp}, PP {of.pp}; weights {of.weights.value}, KV {of.kv.value}",
        cost=lambda seed: of.cost(),
        metered=lambda seed: Meter(of),
        tp=of.tp,
        pp=of.pp,
        dollars_per_hour=of.dollars_per_hour,
    )


def measured(calibration: Calibration) -> Machine:
    """With the measurement's own noise, and an engine that begins with the profile."""

    def cost(seed: int) -> Cost:
        return profile_cost(calibration, noise_seed=seed)

    name, machine, date = calibration.model.name, calibration.machine, calibration.made.date[:10]
    return Machine(
        model=name,
        device=machine.cpu,
        title=f"{name} on {machine.cpu}",
        words=f"{machine.threads} threads, {machine.kernels} kernels, as measured {date}",
        cost=cost,
        metered=cost,
        way=profile_way(calibration),
        profile=calibration.forecast.as_profile(),
    )


def check_model(calibration: Calibration, ours: Dimensions, where: str) -> None:
    """Raises BadProfile where the profile is not of this model, by what both know of it."""
    theirs = calibration.model.dimensions
    names = [field.name for field in fields(ours) if field.name in theirs]
    other = [f"{n} {theirs[n]} instead of {getattr(ours, n)}" for n in names if theirs[n] != getattr(ours, n)]
    if other:
        raise BadProfile(f"{where}: it is of another model: {', '.join(other)}")
