"""What the server must be told. Values are checked where they come from, not here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from headway.core.slo import BUILT_IN, ServiceClass


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    model: str  # the name that clients ask for
    aliases: Mapping[str, str] = field(default_factory=dict)  # further names, and the class of each
    host: str = "127.0.0.1"
    port: int = 8000  # 0: a free one
    api_key: str | None = None  # None: nobody is asked for one
    class_keys: Mapping[str, str] = field(default_factory=dict)  # further keys, and the class of each
    tightening_key: str | None = None  # its requests may be tighter than their class; the admin's may, too
    admin_key: str | None = None  # None: nothing is changed from outside
    shutdown_timeout_s: float = 30.0  # how long open requests may go on after SIGTERM
    seed: int | None = None  # for requests that bring none; None: drawn
    classes: Mapping[str, ServiceClass] = field(default_factory=lambda: BUILT_IN)
    default_class: str | None = None  # of requests that name none; None: by what is known on arrival
    policy: str = "adaptive"  # the engine's, to be told
    policies: tuple[str, ...] = ()  # to which it can be changed
    body_bytes: int = 8 << 20  # the largest request body
    read_timeout_s: float = 20.0  # for a request's head, and again for its body
    send_timeout_s: float = 60.0  # a reader that takes nothing for so long has gone
    idle_timeout_s: int = 75  # of a connection between two requests
    ping_s: float = 15.0  # a stream is never silent for longer
    step_limit_s: float = 120.0  # an executor that takes longer for a batch counts as hung
    linger_s: float = 2.0  # after the engine's death, so that errors go out and /health is heard

    @property
    def models(self) -> tuple[str, ...]:
        """Every name that clients may ask for."""
        return self.model, *self.aliases
