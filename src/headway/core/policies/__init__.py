"""The policies by the names of `--policy`. All run on the same mechanism."""

from collections.abc import Callable, Mapping

from headway.core.policies.adaptive import Adaptive as Adaptive
from headway.core.policies.aimd import Aimd as Aimd
from headway.core.policies.iteration import DecodeFirst as DecodeFirst
from headway.core.policies.iteration import PrefillFirst as PrefillFirst
from headway.core.policies.iteration import StallFree as StallFree
from headway.core.policies.preference import Policy as Policy
from headway.core.policies.static import Static as Static

POLICIES: Mapping[str, Callable[[], Policy]] = {
    "static": Static,
    "prefill-first": PrefillFirst,
    "decode-first": DecodeFirst,
    "stall-free": StallFree,
    "aimd": Aimd,
    "adaptive": Adaptive,
}
