"""What a request asks of its service class. There is one so far: values are checked, `default` is used."""

from math import isfinite

from starlette.datastructures import Headers

from headway.server.errors import bad

_prefixes = ("x-slo-", "x-llm-d-slo-")
_targets = ("ttft-ms", "tpot-ms")
_most_ms = 1e9  # eleven days


def check_slo_headers(headers: Headers) -> None:
    """Raises ApiError 400."""
    for name in (prefix + target for prefix in _prefixes for target in _targets):
        for value in headers.getlist(name):
            if not _is_target(value):
                words = f"header {name}: it must be a number of milliseconds above 0, up to {_most_ms:.0f}"
                raise bad(words, name)


def _is_target(text: str) -> bool:
    try:
        return isfinite(ms := float(text)) and 0 < ms <= _most_ms
    except ValueError:
        return False
