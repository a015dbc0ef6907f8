"""Headway, an LLM serving engine. `from headway import LLM, Sampling`.

LLM brings torch with it, so it is loaded when first asked for: simulator and API process do without.
"""

from typing import TYPE_CHECKING, Any

from headway.core.types import Sampling

if TYPE_CHECKING:
    from headway.llm import LLM

__all__ = ["LLM", "Sampling"]


def __getattr__(name: str) -> Any:
    if name != "LLM":
        raise AttributeError(f"module 'headway' has no attribute {name!r}")
    from headway.llm import LLM

    return LLM
