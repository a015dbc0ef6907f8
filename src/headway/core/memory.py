"""How many slots a sequence must hold to join: what paging buys is the difference between these."""

from collections.abc import Callable, Mapping

# (tokens known, prompt + max_tokens, context length) -> slots
MemoryRule = Callable[[int, int, int], int]


def paged(known: int, most: int, context: int) -> int:
    """Blocks for what is there; more are taken as the sequence grows (vLLM, SOSP 2023)."""
    return known


MEMORY_RULES: Mapping[str, MemoryRule] = {
    "paged": paged,
    "reserved-request": lambda known, most, context: most,  # room for the longest answer this one may get
    "reserved-context": lambda known, most, context: context,  # for the longest sequence that any may have
}
