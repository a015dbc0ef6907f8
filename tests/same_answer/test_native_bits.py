"""With native kernels a request gets the same log-probabilities, to the bit, on every road."""

from array import array

import pytest

from headway.core.limits import Limits
from headway.core.types import Request, Sampling
from headway.kernels.library import Unavailable, load_kernels
from headway.model.native import native_parts
from headway.model.parts import Parts
from headway.spec import ModelSpec
from tests.models.tiny import VOCAB, prompt
from tests.same_answer.roads import Answers, Loaded, load_tiny, run_real

LENGTHS = [3, 17, 40, 7, 80, 33, 2, 100]
ASKED = [
    Request(id, array("i", prompt(length)), Sampling(12, temperature=0.0, seed=0, logprobs=VOCAB), 0.0)
    for id, length in enumerate(LENGTHS)
]


def native(spec: ModelSpec) -> Parts:
    try:
        return native_parts(spec, load_kernels())
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture(scope="module", params=["llama-llama3", "mistral-window", "qwen3"])
def model(request, tmp_path_factory) -> Loaded:
    return load_tiny(request.param, tmp_path_factory.mktemp(request.param), native)


def run(model: Loaded, requests: list[Request], *, step_tokens: int = 512, blocks: int = 400) -> Answers:
    limits = Limits(
        max_seqs=min(40, step_tokens), max_step_tokens=step_tokens, max_queued=99, block_size=16,
        blocks=blocks, max_model_len=256,
    )  # fmt: skip
    return run_real(model, requests, limits)


def test_alone_together_in_chunks_and_squeezed(model) -> None:
    alone: dict = {}
    for request in ASKED:
        alone |= run(model, [request]).logprobs
    assert run(model, ASKED).logprobs == alone
    assert run(model, ASKED, step_tokens=7).logprobs == alone
    assert run(model, ASKED, blocks=12).logprobs == alone
