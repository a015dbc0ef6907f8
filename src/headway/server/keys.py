"""What a request's key lets it do.

Owns the comparison: keys are kept as digests and compared in constant time, each whatever the others said.
No key, and nothing of one, is in a message or in the log.
"""

import hashlib
import hmac
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import Scope

from headway.server.errors import ApiError
from headway.server.settings import ServerSettings

_mark = "headway.keys"  # of a request: names of the keys that its own is, each with the class it leads to


class Keys:
    def __init__(self, settings: ServerSettings) -> None:
        keys = {"api": settings.api_key, "tightening": settings.tightening_key, "admin": settings.admin_key}
        named = [(name, None, _digest(key)) for name, key in keys.items() if key is not None]
        of_classes = [("class", led_to, _digest(key)) for key, led_to in settings.class_keys.items()]
        self._known: list[tuple[str, str | None, bytes]] = [*named, *of_classes]
        self._asks = settings.api_key is not None

    def check(self, headers: Headers) -> None:
        """Raises ApiError 401 where the API asks for a key and this is none of ours."""
        if self._asks and not self._named(headers):
            raise ApiError(401, "the API key is missing or wrong; send it as Authorization: Bearer KEY")

    def marked(self, scope: Scope) -> Scope:
        """The request with what its key is, for the questions below."""
        return {**scope, _mark: self._named(Headers(scope=scope))}

    def _named(self, headers: Headers) -> Mapping[str, str | None]:
        given = headers.getlist("authorization")
        scheme, _, key = (given[0] if len(given) == 1 else "").partition(" ")
        digest = _digest(key.strip())
        equal = {name: led_to for name, led_to, own in self._known if hmac.compare_digest(digest, own)}
        return equal if scheme.lower() == "bearer" else {}


def may_tighten(request: Request) -> bool:
    return bool(request.scope[_mark].keys() & {"tightening", "admin"})


def class_of_key(request: Request) -> str | None:
    """None: its key, if it has one, leads to no class."""
    led_to: str | None = request.scope[_mark].get("class")
    return led_to


def require_admin(request: Request, settings: ServerSettings) -> None:
    """Raises ApiError 401 or 403."""
    if settings.admin_key is None:
        words = "this server takes no admin calls; start it with --admin-key KEY or HEADWAY_ADMIN_KEY set"
        raise ApiError(403, words, code="admin_disabled")
    if request.scope[_mark].keys() - {"admin"}:
        raise ApiError(403, "this key may not change anything; the admin key may", code="not_admin")
    if not request.scope[_mark]:
        words = "the admin key is missing or wrong; send it as Authorization: Bearer KEY"
        raise ApiError(401, words, code="admin_key")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
