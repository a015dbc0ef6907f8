"""The rule of golden tokens: what transformers generates greedily, and when ours counts as equal to it."""

from collections.abc import Sequence
from typing import Any

import torch

from tests.models.greedy import Greedy

LOGPROB_TOLERANCE = 1e-3
NEAR_TIE = 1e-3  # of the logits' standard deviation, between the reference's best two
TIED_SHARE = 0.02  # of the sequences may meet a near tie, where comparing them stops


def reference(model: Any, prompt: list[int], new_tokens: int) -> Greedy:
    """transformers' own greedy generation of one prompt, never ended by a stop id."""
    given = model.generate(
        torch.tensor([prompt]),
        max_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=0,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return Greedy(given.sequences[0, len(prompt) :].tolist(), torch.cat(given.logits).float())


def assert_same(references: Sequence[Greedy], ours: Sequence[Greedy]) -> None:
    """Every token equal and every log-probability near, but for few near ties."""
    tied = sum(_meets_near_tie(r, o) for r, o in zip(references, ours, strict=True))
    assert tied <= TIED_SHARE * len(references), f"{tied} of {len(references)} sequences meet a near tie"


def _meets_near_tie(expected: Greedy, ours: Greedy) -> bool:
    """Compare token by token; True where a near tie ended the comparison."""
    assert len(ours.tokens) == len(expected.tokens)
    for i, (logits, token) in enumerate(zip(expected.logits, expected.tokens, strict=True)):
        best = logits.topk(2).values
        if best[0] - best[1] < NEAR_TIE * logits.std():
            return True
        apart = (logits.log_softmax(-1) - ours.logits[i].log_softmax(-1)).abs().max().item()
        assert apart <= LOGPROB_TOLERANCE, f"token {i}: log-probabilities are {apart:.2g} apart"
        assert ours.tokens[i] == token, f"token {i}: {ours.tokens[i]} instead of {token}"
    return False
