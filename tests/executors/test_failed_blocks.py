"""A sequence's NaNs stay its own: whoever gets its blocks after it answers as if they had been clean."""

from array import array

import pytest
import torch

from headway.core.types import Batch, Joined, Sampling, Slice
from headway.executors.runner import Runner
from headway.model.decoder import Decoder
from headway.model.kv import KVCache
from headway.model.weights import load_weights
from headway.spec import ModelSpec, read_spec
from tests.executors.driver import tokens_of
from tests.models.tiny import prompt, save

GREEDY = Sampling(temperature=0.0, max_tokens=20)
BLOCKS = 8


@pytest.fixture(scope="module", params=["llama-llama3", "falcon-two-norms", "gemma3"])
def loaded(request, tmp_path_factory) -> tuple[ModelSpec, Decoder]:
    folder = tmp_path_factory.mktemp("model")
    save(request.param, folder)
    spec = read_spec(folder)
    return spec, Decoder(spec, load_weights(folder, spec, torch.float32))


def join(id: int, tokens: list[int], *table: int) -> Joined:
    return Joined(id, array("i", tokens), len(tokens), 0, GREEDY, (table,))


def answers(loaded: tuple[ModelSpec, Decoder], spoilt: bool) -> dict[int, list[int]]:
    """A short and a long sequence, then decoded together, so that the short one is filled up."""
    spec, decoder = loaded
    kv = KVCache(spec, BLOCKS, 16, torch.float32)
    runner = Runner(decoder, kv)
    if spoilt:
        for layer in kv.layers:
            layer.fill_(float("nan"))  # as a sequence leaves them whose activations overflowed
    short, long = join(1, prompt(3), 5, 2), join(2, prompt(30), 6, 7, 0, 1)
    first = (Slice(1, 0, 3, True), Slice(2, 0, 13, False))
    outcomes = runner.step(Batch(1, (), (short, long), (), first))
    outcomes += runner.step(Batch(2, (), (), (), (Slice(1, 3, 1, True), Slice(2, 13, 17, True))))
    for i in range(16):
        both = (Slice(1, 4 + i, 1, True), Slice(2, 30 + i, 1, True))
        outcomes += runner.step(Batch(3 + i, (), (), (), both))
    assert not [outcome.failure for outcome in outcomes if outcome.failure]
    return {id: tokens_of([o for o in outcomes if o.id == id]) for id in (1, 2)}


def test_blocks_full_of_nans_change_nothing_for_whoever_gets_them(loaded) -> None:
    assert answers(loaded, spoilt=True) == answers(loaded, spoilt=False)
