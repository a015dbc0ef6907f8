"""The policies by the names of `--policy`. Each is a small file of its own; all run on the same mechanism."""

from collections.abc import Callable, Mapping

from headway.core.policies.decode_first import DecodeFirst
from headway.core.policies.preference import Policy, Preference, View
from headway.core.policies.prefill_first import PrefillFirst
from headway.core.policies.stall_free import StallFree
from headway.core.policies.static import Static

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "static": Static,
    "prefill-first": PrefillFirst,
    "decode-first": DecodeFirst,
    "stall-free": StallFree,
}

__all__ = ["POLICIES", "DecodeFirst", "Policy", "Preference", "PrefillFirst", "StallFree", "Static", "View"]
