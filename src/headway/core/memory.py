"""How many slots a sequence must hold to join: what paging buys is the difference between these."""

from collections.abc import Callable, Mapping

# (tokens known, prompt + max_tokens, context length) -> slots
MemoryRule = Callable[[int, int, int], int]


def paged(known: int, most: int, context: int) -> int:
    """Blocks for what is there; more are taken as the sequence grows (vLLM, SOSP 2023)."""
    return known


def reserved_request(known: int, most: int, context: int) -> int:
    """Room for the longest answer this request may get, from the start."""
    return most


def reserved_context(known: int, most: int, context: int) -> int:
    """Room for the longest sequence that any request may have, from the start."""
    return context


MEMORY_RULES: Mapping[str, MemoryRule] = {
    "paged": paged,
    "reserved-request": reserved_request,
    "reserved-context": reserved_context,
}
