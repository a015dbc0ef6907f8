"""The policies by the names of `--policy`. Each is a small file of its own; all run on the same mechanism."""

from collections.abc import Callable, Mapping

from headway.core.policies.adaptive import Adaptive
from headway.core.policies.aimd import Aimd
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
    "aimd": Aimd,
    "adaptive": Adaptive,
}

__all__ = [
    "POLICIES",
    "Adaptive",
    "Aimd",
    "DecodeFirst",
    "Policy",
    "Preference",
    "PrefillFirst",
    "StallFree",
    "Static",
    "View",
]
