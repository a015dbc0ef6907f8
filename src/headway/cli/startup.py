"""From settings to an engine process that is loading, and the text side: what `serve` and `run` share."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import typer

from headway.config import OPTIONS, POLICY_NAMES, Settings
from headway.hub import resolve
from headway.profile.whose import named_profile, no_profile, this_model
from headway.server.engine_process import EngineProcess
from headway.server.settings import ServerSettings
from headway.sizing import free_memory_bytes, size_up
from headway.spec import read_spec
from headway.terminal import fetching
from headway.text.chat_template import ChatTemplate
from headway.text.tokenizer import Tokenizer, load_tokenizer


class Started(NamedTuple):
    engine: EngineProcess
    tokenizer: Tokenizer
    template: ChatTemplate


@contextmanager
def started(settings: Settings) -> Iterator[Started]:
    """The engine's process is gone at the end, whatever happened. Raises what `told_plainly` knows.

    What does not fit is refused before a process is started; text loads while the process loads weights.
    """
    with fetching(settings.model) as progress:
        path = resolve(settings.model, progress=progress)
    spec = read_spec(path)
    size_up(settings, spec, free_memory_bytes())
    if settings.profile not in (None, no_profile):
        named_profile(settings.profile, this_model(spec, settings.model))
    engine = EngineProcess(_engine_command(settings, path))
    try:
        tokenizer = load_tokenizer(path)
        yield Started(engine, tokenizer, ChatTemplate.of(tokenizer, settings.chat_template))
    finally:
        engine.kill()
        engine.close()


def _engine_command(settings: Settings, path: Path) -> list[str]:
    """The server's settings, its key above all, stay out of what `ps` shows."""
    own = {o.name: getattr(settings, o.name) for o in OPTIONS.values() if o.group != "Server"}
    return [sys.executable, "-m", "headway.cli.engine", json.dumps(own), str(path)]


def server_settings(settings: Settings) -> ServerSettings:
    return ServerSettings(
        model=settings.served_name,
        aliases=settings.classes_by_alias,
        host=settings.host,
        port=settings.port,
        api_key=settings.api_key,
        class_keys=settings.classes_by_key,
        tightening_key=settings.tightening_key,
        admin_key=settings.admin_key,
        shutdown_timeout_s=settings.shutdown_timeout,
        seed=settings.seed,
        classes=settings.service_classes,
        default_class=settings.default_class,
        policy=settings.policy_name,
        policies=POLICY_NAMES,
    )


def show_phase(name: str, seconds: float) -> None:
    typer.echo(f"  {name:<20} {seconds:5.1f} s", err=True)
