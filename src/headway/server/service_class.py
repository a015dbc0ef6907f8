"""Which service class a request is served as, and which targets it brings in place of that class's.

Owns the one table from what clients can say to a class, and the way back to OpenAI's words. Pure.
"""

from collections.abc import Mapping
from math import nan
from typing import NamedTuple

from starlette.datastructures import Headers

from headway.core.slo import ServiceClass, Targets
from headway.server.errors import bad
from headway.server.sampling import default_completion_tokens
from headway.server.schema import Chat, Completion, Generate

# What OpenAI's service_tier asks for; None: nothing.
TIERS: Mapping[str, str | None] = {
    "auto": None,
    "default": None,
    "flex": "batch",
    "scale": "interactive",
    "priority": "chat",
    "fast": "chat",
}
short_answer = 256  # tokens: whoever wants no stream and at most so many waits for the whole

_said = {"batch": "flex", "interactive": "scale"}  # the way back, for classes that no such word asked for
_prefixes = ("x-slo-", "x-llm-d-slo-")
_targets = {"ttft-ms": "ttft_s", "tpot-ms": "itl_s"}
_least_ms, _most_ms = 1.0, 1e9  # eleven days


class AskedClass(NamedTuple):
    """The class that a request asks for, in whatever way."""

    name: str
    own: Targets = Targets()  # in place of the class's
    tier: str | None = None  # OpenAI's word that asked for it; `default` where nobody did

    def tier_of(self, served: str) -> str:
        """OpenAI's word for the class that was used: its clients know no other."""
        if self.tier is not None and served == self.name:
            return self.tier
        return _said.get(served, "default")


class Defaults(NamedTuple):
    """The classes of a request that names none; the first that is there holds."""

    alias: str | None = None  # of the model's name that it asks for
    key: str | None = None  # of the key that it brings
    server: str | None = None


def asked_class(
    body: Generate,
    headers: Headers,
    classes: Mapping[str, ServiceClass],
    defaults: Defaults,
    *,
    may_tighten: bool = False,
) -> AskedClass:
    """The first that speaks: `service_tier`, `priority`, `defaults`, and what is known on arrival.

    Raises ApiError 400.
    """
    said = body.service_tier or "default"
    if said not in TIERS and said not in classes:
        words = f"service_tier: {said[:40]!r} is not allowed; it must be one of "
        raise bad(words + ", ".join((*TIERS, *classes)), "service_tier")
    if said in classes:
        name, tier = said, None
    elif (meant := TIERS[said]) is not None:
        name, tier = meant, said
    elif body.priority:
        name, tier = _of_priority(body.priority), None
    elif (default := next(filter(None, defaults), None)) is not None:
        name, tier = default, None
    else:
        name, tier = _of_arrival(body), "default"
    own = _own(headers, classes[name], may_tighten=may_tighten)
    return AskedClass(name, own, tier)


def _of_priority(priority: int) -> str:
    """Smaller is sooner; 0 says nothing."""
    return "chat" if priority < 0 else "batch"


def _of_arrival(body: Generate) -> str:
    """Who streams reads along; who waits for a short answer waits for its end."""
    most = body.max_tokens
    if isinstance(body, Completion) and most is None:
        most = default_completion_tokens
    if isinstance(body, Chat) and body.max_completion_tokens is not None:
        most = body.max_completion_tokens
    return "interactive" if not body.stream and most is not None and most <= short_answer else "chat"


def _own(headers: Headers, promised: ServiceClass, *, may_tighten: bool) -> Targets:
    """The targets that headers name; only some may be tighter than the class's. Raises ApiError 400."""
    own: dict[str, float] = {}
    for name, target in (
        (prefix + name, target) for prefix in _prefixes for name, target in _targets.items()
    ):
        for value in headers.getlist(name):
            own[target] = max(own.get(target, 0.0), _seconds(name, value))
            _check(name, own[target], getattr(promised.targets, target), promised.name, may_tighten)
    return Targets(**own)


def _seconds(name: str, text: str) -> float:
    try:
        ms = float(text)
    except ValueError:
        ms = nan
    if not _least_ms <= ms <= _most_ms:
        words = f"it must be a number of milliseconds from {_least_ms:g} to {_most_ms:.0f}"
        raise bad(f"header {name}: {words}", name)
    return ms / 1e3


def _check(header: str, asked_s: float, promised_s: float | None, name: str, may_tighten: bool) -> None:
    asked = f"{asked_s * 1e3:g} ms"
    if promised_s is None:
        words = f"class {name} promises nothing there, and a header cannot make a promise of {asked}"
    elif asked_s < promised_s and not may_tighten:
        words = f"{asked} is tighter than the {promised_s * 1e3:g} ms of class {name}"
        words += "; a header may only ask for more, unless the request has a key that may tighten"
    else:
        return
    raise bad(f"header {header}: {words}", header)
