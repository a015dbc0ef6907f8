"""A request's body as a JSON object, read within limits of size, time, depth and number.

Owns what counts as JSON here: UTF-8, finite numbers, each key once. Knows no field.
"""

import asyncio
import json
import re
from collections import Counter
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request

from headway.server.errors import ApiError

JsonObject = dict[str, Any]

most_values = 1 << 19  # of one body. Reading them holds every thread up, so their number bounds how long

_surrogate = re.compile(rb"\\u[dD][89a-fA-F]")


def has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def read_bytes(request: Request, most_bytes: int, timeout_s: float) -> bytes:
    """Raises ApiError 408, 413 or 415; ClientDisconnect when there is nobody to tell."""
    _check_headers(request, most_bytes)
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request, most_bytes)
    except TimeoutError:
        raise ApiError(408, f"the body did not come within {timeout_s:g} s") from None


def _check_headers(request: Request, limit: int) -> None:
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    charset = parameters.strip().lower().removeprefix("charset=").strip('"')
    if kind.strip().lower() != "application/json" or charset not in ("", "utf-8", "utf8"):
        raise ApiError(415, "the body must be sent as content-type application/json")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "a compressed body is not taken; send it without content-encoding")
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)


async def _read(request: Request, limit: int) -> bytes:
    data = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        data += message.get("body", b"")
        if len(data) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(data)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"the body is over the limit of {limit:,} bytes", code="body_too_large")


def parse(data: bytes) -> JsonObject:
    """Raises ApiError 400 saying what is wrong, never quoting much of it."""
    if len(data) > most_values and _values(data) > most_values:
        raise ApiError(400, f"the body has over {most_values:,} values", code="too_many_values")
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
        if _surrogate.search(data):
            json.dumps(value, ensure_ascii=False).encode()  # half of a pair has no UTF-8 form
    except UnicodeDecodeError as error:
        raise _not_json(f"byte {error.start} is not UTF-8") from None
    except UnicodeEncodeError:
        raise _not_json("a text holds half of a surrogate pair") from None
    except RecursionError:
        raise _not_json("it is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} at character {error.pos}") from None
    except ValueError:  # what int() says of more digits than it converts
        raise _not_json("a number has too many digits") from None
    if not isinstance(value, dict):
        raise _not_json("it is not an object")
    return value


def _values(data: bytes) -> int:
    """About how many keys and values the text holds: a fast look at what opens or separates them."""
    data = data.replace(rb"\\", b"").replace(rb"\"", b"")  # so that every quote left begins or ends a text
    texts = data.count(b'"') // 2
    if texts > most_values:
        return texts
    between = b"".join(data.split(b'"')[::2])
    return sum(map(between.count, (b",", b"[", b"{")))


def _not_json(why: str) -> ApiError:
    return ApiError(400, f"the body is not valid JSON: {why}", code="invalid_json")


def _unique(pairs: list[tuple[str, object]]) -> JsonObject:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise _not_json(f"the key {counts.most_common(1)[0][0][:40]!r} stands twice")
    return fields


def _no_constant(name: str) -> NoReturn:
    raise _not_json(f"{name} is not a number")
