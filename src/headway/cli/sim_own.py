"""This machine's own profile of a model, and the server that it is a profile of: for `sim --compare`."""

from pathlib import Path
from typing import NamedTuple

from headway.cli.sim_setup import Asked
from headway.hub import default_cache_dir, resolve
from headway.profile.file import BadProfile, Calibration
from headway.profile.whose import kept_profiles, machine_differs, named_profile, this_machine, this_model
from headway.spec import read_spec
from headway.terminal import fetching

default_model = "smollm2"


class Own(NamedTuple):
    model: str  # as `headway serve` takes it
    profile: Path
    calibration: Calibration


def own_profile(asked: Asked) -> Own:
    """The one that was named, else the latest that was made here. Raises BadProfile where it is of another
    model or machine, or where there is none.
    """
    name = asked.model or default_model
    with fetching(name) as progress:
        ours = this_model(read_spec(resolve(name, progress=progress)), name)
    if asked.profile is not None:
        found = named_profile(str(asked.profile), ours)
        machine = found.machine
        other = machine_differs(machine, this_machine(machine.threads, machine.kernels))
        if other:
            raise BadProfile(f"--profile {asked.profile}: it is of another machine: {other}")
        return Own(name, asked.profile, found)
    found_here = kept_profiles(ours, default_cache_dir())
    if not found_here:
        raise BadProfile(f"no profile of {name} on this machine; `headway calibrate {name}` makes one")
    path = max(found_here, key=lambda path: found_here[path].made.date)
    return Own(name, path, found_here[path])


def server_flags(asked: Asked, own: Own) -> list[str]:
    """A server with what the simulation has, and the arithmetic that was measured."""
    machine = own.calibration.machine
    figures = {
        "--threads": machine.threads,
        "--kernels": machine.kernels.split()[0],
        "--profile": own.profile,
        "--policy": asked.policy,
        "--kv-allocation": asked.kv_allocation,
        "--block-size": asked.block_size,
        "--max-num-seqs": asked.max_num_seqs,
        "--max-num-batched-tokens": asked.max_num_batched_tokens,
        "--max-model-len": asked.max_model_len,
        "--max-queue": asked.max_queue,
    }
    flags = [word for flag, value in figures.items() if value is not None for word in (flag, str(value))]
    promised = [word for text in asked.classes or () for word in ("--class", text)]
    return [*flags, *promised, "--prefix-caching" if asked.prefix_caching else "--no-prefix-caching"]
