"""The real engine under requests as experiments have them: where `headway headlines --real` gets its figures.

An engine of its own for each run, in this process, without HTTP.
"""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from headway.bench.report import Answer
from headway.bench.workload import Arrival, prompt_ids
from headway.config import Settings, endless_queue
from headway.core.types import Request, Sampling
from headway.headlines.g_machine import Engine, Ran, context
from headway.hub import resolve
from headway.profile.whose import no_profile
from headway.sizing import dtype_bytes
from headway.spec import read_spec

if TYPE_CHECKING:
    from headway.cli.rig import Rig

warm_up = [Arrival(0.0, "batch", 128, 8, 8)] * 4


def serve(engine: Engine, arrivals: Sequence[Arrival], model: str = "smollm2") -> Ran:
    """A `Serve`. Raises what `told_plainly` knows."""
    from headway.cli.rig import Rig  # brings torch

    path = resolve(model)
    with closing(Rig(_settings(engine, model, path), path, lambda phase, seconds: None)) as rig:
        _asked(rig, warm_up)
        return _asked(rig, arrivals)


def _settings(engine: Engine, model: str, path: Path) -> Settings:
    spec = read_spec(path)
    return Settings(
        model=model,
        max_model_len=min(context, spec.max_positions),
        profile=no_profile,
        policy=engine.policy,
        max_num_seqs=engine.max_seqs,
        max_num_batched_tokens=engine.step_tokens,
        max_queue=endless_queue,
        classes=engine.classes,
        kv_cache_memory=engine.kv_tokens * spec.kv_bytes_per_token(dtype_bytes),
        kv_allocation=engine.memory,
        prefix_caching=False,
    )


def _asked(rig: "Rig", arrivals: Sequence[Arrival]) -> Ran:
    start_s, first = monotonic(), rig.next_id
    requests = [
        Request(
            first + number,
            prompt_ids(number, arrival),
            Sampling(max_tokens=arrival.max_tokens, temperature=0.0, seed=0, ignore_eos=True),
            start_s + arrival.at_s,
            service_class=arrival.service_class,
        )
        for number, arrival in enumerate(arrivals)
    ]
    wanted = {first + number: arrival.output_tokens for number, arrival in enumerate(arrivals)}
    frames = rig.serve(requests, wanted)
    answers = []
    for request, arrival in zip(requests, arrivals, strict=True):
        stamps = [at_s - start_s for at_s in rig.stamps[request.id]]
        whole = len(stamps) == arrival.output_tokens
        answers.append(Answer(arrival.service_class, arrival.at_s, stamps, whole, arrival.tokens))
    return Ran(answers, frames)
