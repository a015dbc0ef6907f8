"""`headway serve`: the OpenAI-compatible server."""

import json as json_module
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from os import environ
from pathlib import Path

import typer

from headway.cli import flags
from headway.cli.ending import last_line, told_plainly
from headway.cli.startup import server_settings, show_phase, started
from headway.config import ConfigError, Settings
from headway.config_sources import load_settings
from headway.server import serve as server
from headway.server.door import now_s
from headway.server.record import Recorder, recording
from headway.server.wire import Facts


def serve(
    context: typer.Context,
    model: flags.Model = None,
    max_model_len: flags.MaxModelLen = None,
    chat_template: flags.Template = None,
    seed: flags.Seed = None,
    threads: flags.Threads = None,
    kernels: flags.KernelNames = None,
    profile: flags.Profile = None,
    policy: flags.PolicyName = None,
    max_num_seqs: flags.MaxNumSeqs = None,
    max_num_batched_tokens: flags.MaxNumBatchedTokens = None,
    batch_wait: flags.BatchWait = None,
    max_queue: flags.MaxQueue = None,
    classes: flags.Classes = None,
    default_class: flags.DefaultClass = None,
    kv_cache_memory: flags.KvCacheMemory = None,
    block_size: flags.BlockSize = None,
    kv_allocation: flags.KvAllocation = None,
    prefix_caching: flags.PrefixCaching = None,
    host: flags.Host = None,
    port: flags.Port = None,
    served_model_name: flags.ServedModelName = None,
    aliases: flags.Aliases = None,
    api_key: flags.ApiKey = None,
    class_keys: flags.ClassKeys = None,
    tightening_key: flags.TighteningKey = None,
    admin_key: flags.AdminKey = None,
    record: flags.Record = None,
    shutdown_timeout: flags.ShutdownTimeout = None,
    config: flags.Config = None,
    json: flags.Json = False,
) -> None:
    """Serve a model over HTTP, to OpenAI's clients and others.

    A flag beats a HEADWAY_* variable, which beats the file of --config, which beats the default. With --json
    the last line says where the server is, once it takes requests. SIGTERM lets running requests finish.
    """
    with told_plainly(as_json=json):
        settings = load_settings(flags.settings_among(context.params), environ, config)
        raise typer.Exit(_serve(settings, as_json=json))


def _serve(settings: Settings, *, as_json: bool) -> int:
    """Until a signal, or the engine's end. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)  # that it listens is told below, with the address
    wire = server_settings(settings)
    try:
        listener = server.bind(wire)
    except OSError as error:
        raise ConfigError(
            f"--port {wire.port} on --host {wire.host}: {error.strerror}; try --port 0"
        ) from error
    with listener, _recording(settings.record) as record, started(settings) as start:
        typer.echo(f"headway loads {wire.model}", err=True)
        if record is not None:
            words = "when requests came, how long they were, how they ended; no text"
            typer.echo(f"  {settings.record} records {words}", err=True)
        if wire.api_key is None and wire.host not in ("127.0.0.1", "::1", "localhost"):
            typer.echo(f"  whoever reaches {wire.host} may use it; --api-key asks for a key", err=True)
        speaks = start.tokenizer.chat_template is not None or settings.chat_template is not None

        def ready(url: str, facts: Facts) -> None:
            typer.echo(_invitation(settings, wire.model, url, facts, chat=speaks))
            if as_json:
                last_line({"url": url, "model": wire.model, "kv_tokens": facts.blocks * facts.block_size})

        def ended(why: str) -> None:
            typer.echo(f"headway: {why}", err=True)
            if as_json:
                last_line({"error": why})

        told = server.Told(show_phase, ready, ended)
        return server.serve(wire, listener, start.engine, start.tokenizer, start.template, told, record)


@contextmanager
def _recording(file: str | None) -> Iterator[Recorder | None]:
    with ExitStack() as stack:
        try:
            record = stack.enter_context(recording(None if file is None else Path(file), now_s()))
        except OSError as error:
            words = f"{error.strerror}; name a new file in a folder that can be written to"
            raise ConfigError(f"--record {file}: {words}") from error
        yield record


def _invitation(settings: Settings, model: str, url: str, facts: Facts, *, chat: bool) -> str:
    """What is there, and a line to try it with."""
    tokens = facts.blocks * facts.block_size
    fits = tokens / facts.max_model_len
    body: dict[str, object] = {"model": model, "stream": True, "temperature": 0, "max_tokens": 64}
    if chat:
        path, body["messages"] = "chat/completions", [{"role": "user", "content": "Why is the sky blue?"}]
    else:
        path, body["prompt"] = "completions", "The sky is blue because"
    key = ' -H "Authorization: Bearer $HEADWAY_API_KEY"' if settings.api_key is not None else ""
    sent = json_module.dumps(body).replace("'", "'\\''")
    return (
        f"  KV cache             {tokens:,} tokens: {fits:.1f} requests of {facts.max_model_len:,}\n"
        f"  API                  {url}/v1\n"
        f"  dashboard            {url}/\n\n"
        f"curl -N {url}/v1/{path}{key} -H 'Content-Type: application/json' -d '{sent}'\n"
    )
