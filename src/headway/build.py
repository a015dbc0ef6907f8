"""The only file that sees both sides: settings -> inbox, executor, sink, engine.

Owns the order in which an engine is put together, and says each phase and how long it took.
"""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from headway.clock import MonotonicClock
from headway.config import ConfigError, Settings
from headway.core.engine import Engine
from headway.core.forecast import Profile
from headway.core.limits import Limits
from headway.core.memory import MEMORY_RULES
from headway.core.policies import POLICIES, Policy, Static
from headway.core.ports import Inbox, Sink
from headway.core.scheduler import Scheduler
from headway.executors.local import LocalExecutor
from headway.executors.runner import Runner
from headway.hub import default_cache_dir
from headway.kernels.library import Unavailable, load_kernels
from headway.model.decoder import Decoder
from headway.model.kv import KVCache
from headway.model.native import native_parts
from headway.model.parts import Parts, plain_parts
from headway.model.weights import load_weights
from headway.profile.file import BadProfile, Calibration, Machine, Model, Peaks
from headway.profile.whose import find_profile, machine_differs, this_machine, this_model
from headway.sizing import Facts, free_memory_bytes, size_up
from headway.spec import ModelSpec, read_spec

log, forecasting = logging.getLogger("headway.kernels"), logging.getLogger("headway.forecast")

Told = Callable[[str, float], None]
"""Told a phase's name and the seconds it took, when it is over."""


class Built(NamedTuple):
    engine: Engine
    executor: LocalExecutor  # to be closed when the engine has stopped
    facts: Facts
    kv: KVCache
    machine: Machine  # as far as a step's time follows from it
    peaks: Peaks | None  # of this machine, where they were measured


def build_engine(
    settings: Settings, path: Path, inbox: Inbox, sink: Sink, wake: Callable[[], None], told: Told
) -> Built:
    """An engine over the model at `path`. After each step the executor calls `wake`, so the inbox returns.

    Raises ConfigError or BadModel before anything large is allocated.
    """
    spec = read_spec(path)
    facts = size_up(settings, spec, free_memory_bytes())
    parts, kernels = _parts(settings, spec)
    machine = this_machine(settings.threads or torch.get_num_threads(), kernels)
    known = _calibration(settings, this_model(spec, settings.model), machine)
    with _phase("weights loaded", told):
        weights = load_weights(path, spec, torch.float32)
    with _phase("weights laid out", told):
        decoder = Decoder(spec, weights, parts)
    with _phase("KV cache taken", told):
        kv = KVCache(spec, facts.blocks, facts.block_size, torch.float32)
    executor = LocalExecutor(Runner(decoder, kv), on_done=wake, threads=settings.threads)
    policies: dict[str, Callable[[], Policy]] = {**POLICIES, "static": partial(Static, settings.batch_wait)}
    scheduler = Scheduler(
        _limits(settings, facts),
        policies[settings.policy_name](),
        MEMORY_RULES[settings.kv_allocation],
        classes=settings.service_classes,
        policies=policies,
        profile=Profile() if known is None else known.forecast.as_profile(),
        exclusive=executor.exclusive,
    )
    engine = Engine(MonotonicClock(), inbox, executor, sink, scheduler)
    peaks = None if known is None or machine_differs(known.machine, machine) else known.peaks
    return Built(engine, executor, facts, kv, machine, peaks)


def _parts(settings: Settings, spec: ModelSpec) -> tuple[Parts, str]:
    """What `--kernels` asks for, and its name. That native ones are not there is said once, where it is no
    refusal."""
    if settings.kernels == "plain":
        return plain_parts(spec), "plain"
    try:
        kernels = load_kernels()
        return native_parts(spec, kernels), f"native {kernels.variant}"
    except Unavailable as why:
        if settings.kernels == "native":
            raise ConfigError(f"--kernels native: {why}; --kernels plain runs on torch's own") from why
        log.warning("no native kernels, torch's own, which are slower, run instead: %s", why)
        return plain_parts(spec), "plain"


def _calibration(settings: Settings, model: Model, machine: Machine) -> Calibration | None:
    """What the forecast begins with; which that is, is said."""
    try:
        found = find_profile(settings.profile, model, machine, default_cache_dir())
    except BadProfile as why:
        raise ConfigError(str(why)) from why
    forecasting.info("it begins with %s", found.words)
    return found.calibration


def _limits(settings: Settings, facts: Facts) -> Limits:
    return Limits(
        max_seqs=settings.max_num_seqs,
        max_step_tokens=settings.max_num_batched_tokens,
        max_queued=settings.max_queue,
        block_size=facts.block_size,
        blocks=facts.blocks,
        max_model_len=facts.max_model_len,
        prefix_cache=settings.prefix_caching,
    )


@contextmanager
def _phase(name: str, told: Told) -> Iterator[None]:
    start_s = time.monotonic()
    yield
    told(name, time.monotonic() - start_s)
