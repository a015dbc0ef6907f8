"""The policies by the names of `--policy`. All run on the same mechanism."""

from collections.abc import Callable, Mapping

from headway.core.policies.adaptive import Adaptive
from headway.core.policies.classic import Aimd, DecodeFirst, PrefillFirst, StallFree, Static
from headway.core.policies.preference import Policy

__all__ = ["POLICIES", "Adaptive", "Aimd", "DecodeFirst", "Policy", "PrefillFirst", "StallFree", "Static"]

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "static": Static,
    "prefill-first": PrefillFirst,
    "decode-first": DecodeFirst,
    "stall-free": StallFree,
    "aimd": Aimd,
    "adaptive": Adaptive,
}
