"""The runner over a real decoder: what transformers says of the same text, it says too."""

from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from headway.core.types import Sampling
from headway.model.decoder import Decoder
from headway.model.kv import KVCache
from headway.model.weights import load_weights
from headway.spec import ModelSpec, read_spec
from tests.executors.driver import BLOCKS, Driver, tokens_of
from tests.models.tiny import prompt, save


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("model")


@pytest.fixture(scope="module")
def reference(folder: Path) -> PreTrainedModel:
    return save("llama-llama3", folder)


@pytest.fixture(scope="module")
def spec(folder: Path, reference: PreTrainedModel) -> ModelSpec:
    return read_spec(folder)


@pytest.fixture(scope="module")
def decoder(folder: Path, spec: ModelSpec) -> Decoder:
    return Decoder(spec, load_weights(folder, spec, torch.float32))


def driver(decoder: Decoder, spec: ModelSpec) -> Driver:
    return Driver(decoder, KVCache(spec, BLOCKS, 4, torch.float32), slab_rows=10)


@pytest.mark.parametrize("chunk", [100, 7])
def test_prompt_and_output_have_the_reference_models_log_probabilities(
    chunk: int, decoder: Decoder, spec: ModelSpec, reference: PreTrainedModel
) -> None:
    sampling = Sampling(seed=8, temperature=0.9, max_tokens=12, logprobs=0, prompt_logprobs=3)
    outcomes = driver(decoder, spec).generate(0, prompt(30), sampling, chunk)
    text = [*prompt(30), *tokens_of(outcomes)]
    with torch.inference_mode():
        expected = reference(torch.tensor([text])).logits[0].log_softmax(-1)[:-1]
    found = [s for o in outcomes for s in o.prompt_logprobs] + [s for o in outcomes for s in o.logprobs]
    assert [one.token for one in found] == text[1:]
    ours = torch.tensor([one.logprob for one in found])
    torch.testing.assert_close(
        ours, expected.gather(1, torch.tensor(text[1:])[:, None]).squeeze(1), atol=1e-3, rtol=0
    )
    best = torch.tensor([[logprob for _, logprob in one.top] for one in found[:29]])
    torch.testing.assert_close(best, expected[:29].topk(3).values, atol=1e-3, rtol=0)


def test_a_chunk_of_which_no_row_is_wanted_still_fills_the_cache(decoder: Decoder, spec: ModelSpec) -> None:
    sampling = Sampling(temperature=0.0, max_tokens=12)
    whole = tokens_of(driver(decoder, spec).generate(0, prompt(30), sampling))
    assert tokens_of(driver(decoder, spec).generate(0, prompt(30), sampling, chunk=1)) == whole
