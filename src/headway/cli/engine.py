"""What runs in the engine process: `python -m headway.cli.engine SETTINGS PATH`, started by `cli/startup.py`.

Owns the handing over from settings to an engine that serves the bridge. Not meant for people.
"""

import json
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from headway.config import ConfigError, Settings
from headway.core.engine import Engine
from headway.core.ports import Inbox, Sink
from headway.metrics.ledger import Standing
from headway.metrics.roof import Roof
from headway.profile.file import Peaks
from headway.server.engine_main import Loaded, run_engine
from headway.server.wire import Facts, Heartbeat
from headway.sizing import Facts as Sized
from headway.sizing import dtype_bytes
from headway.spec import BadModel


def main(settings_json: str, path: str) -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    settings = Settings(**json.loads(settings_json))

    def load(
        inbox: Inbox, sink: Sink, wake: Callable[[], None], told: Callable[[str, float], None]
    ) -> Loaded:
        start_s = time.monotonic()
        spin_briefly()
        from headway.build import build_engine  # brings torch, which takes its time

        told("torch loaded", time.monotonic() - start_s)
        built = build_engine(settings, Path(path), inbox, sink, wake, told)
        facts = built.facts
        roof = None if built.peaks is None else _roof(facts, built.peaks)
        wire_facts = Facts(
            facts.vocab, facts.max_model_len, facts.block_size, facts.blocks, settings.max_queue, roof
        )
        return Loaded(wire_facts, partial(pulse, built.engine), built.engine.run, built.executor.close)

    return run_engine(load, (ConfigError, BadModel))


def _roof(facts: Sized, peaks: Peaks) -> Roof:
    weight_bytes, slot_bytes = float(facts.body + facts.head) * dtype_bytes, facts.kv_bytes / facts.kv_tokens
    flop = (2.0 * facts.body, 2.0 * facts.head)
    return Roof(weight_bytes, slot_bytes, *flop, peaks.copied_bytes_s, peaks.flop_s)


def spin_briefly() -> None:
    """OpenMP's threads wait by spinning. The API process wants the same cores, and a step whose threads
    are put off them takes several times as long (LOG.md has the figures). Said before torch is loaded."""
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def pulse(engine: Engine) -> Heartbeat:
    """How the engine stands between two turns."""
    residency = engine.scheduler.residency
    standing = Standing(len(residency.running), *residency.pool.places, residency.slots_unused)
    return Heartbeat(len(engine.scheduler.in_flight), standing)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
