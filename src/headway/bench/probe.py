"""What a server is, asked before it is measured: its model, what it promises, which fields it takes.

Raises BadTarget, in one line, where it cannot be measured.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from headway.bench.client import Client
from headway.bench.wire import HEADWAY, PLAIN, WIDE, Api, Asked, BadTarget, Target, read_target
from headway.core.slo import ServiceClass

patience_s = 30.0  # for an answer that says something of the server; a first one may load kernels
names = {HEADWAY: "Headway", WIDE: "vLLM's fields", PLAIN: "OpenAI's fields alone"}


@dataclass(frozen=True, slots=True)
class Found:
    target: Target
    classes: Mapping[str, ServiceClass] | None  # what it promises; None: it promises nothing
    words: str


def probe(url: str, *, model: str | None, api: Api, text: bool, key: str | None) -> Found:
    """`text`: prompts will be text. A request for one token tells which fields the server takes."""
    target = read_target(url, model or "", api=api, key=key)
    if model is None:
        target = replace(target, model=_first_model(target, url))
    classes = _promises(target)
    spoken = (HEADWAY, WIDE, PLAIN) if classes is not None else (WIDE, PLAIN)
    prompt = "Hello" if text or api is Api.CHAT else [1000] * 8
    for dialect in spoken:
        target = replace(target, dialect=dialect)
        refused = asyncio.run(_try(target, prompt))
        if refused is None:
            return Found(target, classes, f"{target.model}, {names[dialect]}")
    raise BadTarget(f"{url}: a request for one token came to {refused}")


async def _try(target: Target, prompt: str | list[int]) -> str | None:
    """Why a request was not answered, or None; BadTarget where other fields would not help."""
    client, name = Client(target), "chat" if target.dialect is HEADWAY else ""
    try:
        exchange = await asyncio.wait_for(client.send(Asked(0.0, name, prompt, 1)), patience_s)
    except TimeoutError:
        raise BadTarget(f"{target.host}:{target.port}: no answer for {patience_s:g} s") from None
    if exchange.stamps and not exchange.error:
        return None
    words = f"{exchange.status or 'no answer'}: {exchange.error or 'no token came'}"
    if exchange.status not in (400, 422):
        raise BadTarget(f"{target.host}:{target.port}: a request for one token came to {words}")
    return words


def _first_model(target: Target, url: str) -> str:
    found = _get(target, "/models")
    models = found.get("data") if isinstance(found, dict) else None
    if not models:
        raise BadTarget(f"{url}: it names no model; is it an OpenAI-compatible server? Else say --model")
    try:
        return str(models[0]["id"])
    except (KeyError, TypeError, IndexError):
        raise BadTarget(f"{url}: its list of models has no id; say --model") from None


def _promises(target: Target) -> dict[str, ServiceClass] | None:
    """Ours alone tell of them."""
    found = _get(target, "/slo", needed=False)
    if not isinstance(found, dict) or "classes" not in found:
        return None
    try:
        return {each["name"]: _promise(each) for each in found["classes"]}
    except (KeyError, TypeError, ValueError):
        raise BadTarget(f"{target.host}:{target.port}: its /slo is not as Headway's") from None


def _promise(each: Mapping[str, Any]) -> ServiceClass:
    targets = each["targets"]
    ttft_s, itl_s, deadline_s = (_seconds(targets[f"{name}_ms"]) for name in ("ttft", "itl", "deadline"))
    return ServiceClass(
        name=each["name"], level=each["level"], ttft_p95_s=ttft_s, itl_p95_s=itl_s, deadline_s=deadline_s
    )


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1e3


def _get(target: Target, path: str, *, needed: bool = True) -> Any:
    """None: it has no such thing."""
    scheme, host = (
        "https" if target.tls else "http",
        f"[{target.host}]" if ":" in target.host else target.host,
    )
    request = Request(f"{scheme}://{host}:{target.port}{target.path}{path}")
    if target.key:
        request.add_header("Authorization", f"Bearer {target.key}")
    try:
        with urlopen(request, timeout=patience_s) as answer:
            return json.load(answer)
    except HTTPError as error:
        if needed:
            raise BadTarget(f"{target.host}:{target.port}{target.path}{path}: {error.code}") from None
    except (OSError, HTTPException) as error:
        said = getattr(error, "reason", error) or type(error).__name__
        raise BadTarget(f"{target.host}:{target.port}: {said}") from None
    except ValueError:
        pass
    return None
