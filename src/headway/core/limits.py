"""The hard limits of one engine. No policy exceeds them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    max_seqs: int  # sequences holding blocks
    max_step_tokens: int  # tokens of one step
    max_queued: int  # sequences waiting; beyond it requests are refused
    block_size: int  # tokens of one block
    blocks: int
    max_model_len: int  # tokens of one sequence, prompt and output
    prefix_cache: bool = True
