"""`headway top`: a running server, live: promises, queue, batch, memory."""

import json as json_text
import sys
import time
from collections import deque
from http.client import HTTPException
from typing import Annotated, Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from headway.bench.served import read_metrics
from headway.bench.wire import BadTarget
from headway.cli.ending import last_line, sigterm_as_ctrl_c, told_plainly
from headway.cli.flags import Json
from headway.cli.top_view import Seen, began_anew, figures, view

patience_s, most_bytes = 5.0, 1 << 24
looked_back = 10  # looks: what rates and percentiles are of


def top_command(
    url: Annotated[str, typer.Argument(help="Of a Headway server.")] = "http://127.0.0.1:8000",
    every: Annotated[float, typer.Option(min=0.2, max=60.0, help="Seconds between looks.")] = 1.0,
    looks: Annotated[
        int | None, typer.Option(min=1, help="So many, then end.  Default: until Ctrl-C.", show_default=False)
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="HEADWAY_API_KEY", help="Sent as a bearer token.", show_default=False),
    ] = None,
    json: Json = False,
) -> None:
    """Watch a running server: what it promises and keeps, who waits, what a step is made of.

    With --json it looks twice, and what happened in between is the last line.
    """
    with told_plainly(as_json=json), sigterm_as_ctrl_c():
        seen = deque([_look(url, api_key)], maxlen=looked_back + 1)
        if looks is None and not sys.stdout.isatty():
            looks = 1  # nobody watches
        if json:
            time.sleep(every)
            look = _look(url, api_key)
            last_line({"url": url, **figures(look if began_anew(seen[0], look) else seen[0], look)})
            return
        try:
            with Live(console=Console(), auto_refresh=False, screen=looks is None) as live:
                for _ in range(looks) if looks else iter(int, 1):
                    time.sleep(every)
                    live.update(seen_anew(url, api_key, seen), refresh=True)
        except KeyboardInterrupt:
            return  # that is how one leaves


def seen_anew(url: str, key: str | None, seen: deque[Seen]) -> RenderableType:
    """A server that is gone may come again; its counters begin anew then."""
    try:
        look = _look(url, key)
    except BadTarget as error:
        seen.clear()
        return Text(f"{error}; looking again", "red")
    if seen and began_anew(seen[-1], look):
        seen.clear()
    seen.append(look)
    return view(url, figures(seen[0], look))


def _look(url: str, key: str | None) -> Seen:
    """Raises BadTarget."""
    slo, metrics = _get(url, "/v1/slo", key), _get(url, "/metrics", key)
    try:
        promises: dict[str, Any] = json_text.loads(slo)
        look = Seen(time.monotonic(), read_metrics(metrics), promises)
        figures(look, look)  # all of it is there
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadTarget(f"{url}: what it answers is not a Headway server's") from error
    return look


def _get(url: str, path: str, key: str | None) -> str:
    if not url.startswith(("http://", "https://")):
        raise BadTarget(f"{url}: a server's address begins with http:// or https://")
    if key is not None and not (key.isascii() and key.isprintable()):
        raise BadTarget("--api-key: it has characters that no header takes")
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        request = Request(url.rstrip("/") + path, headers=headers)
        with build_opener(ProxyHandler({})).open(request, timeout=patience_s) as answer:
            return str(answer.read(most_bytes).decode(errors="replace"))
    except HTTPError as error:
        hint = "; --api-key" if error.code == 401 else ""
        raise BadTarget(f"{url}{path}: it answers {error.code}{hint}") from error
    except (URLError, OSError) as error:
        raise BadTarget(f"{url}: nobody answers there ({getattr(error, 'reason', error)})") from error
    except (HTTPException, ValueError) as error:
        raise BadTarget(
            f"{url}: what it answers is not a Headway server's ({type(error).__name__})"
        ) from error
