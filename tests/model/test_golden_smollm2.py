"""SmolLM2 from its GGUF gives, on twenty real prompts, the tokens that transformers gives from that file."""

import os
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from headway import hub
from headway.model.decoder import Decoder
from headway.model.weights import load_weights
from headway.spec import read_spec
from tests.model.golden import assert_same, reference
from tests.models.greedy import greedy

NEW_TOKENS = 32
PROMPTS = (
    "The capital of France is",
    "Write a haiku about the sea.",
    "def fibonacci(n):\n",
    "Once upon a time, in a small village by the river,",
    "List three reasons why regular exercise is good for you:\n1.",
    "Water boils at a temperature of",
    "Translate to Spanish: Good morning, my friend.",
    "The quick brown fox jumps over the lazy dog. The dog then",
    "SELECT name, age FROM people WHERE",
    "Dear Sir or Madam,\n\nI am writing to complain about",
    "Q: What is the largest planet of our solar system?\nA:",
    "In 1969, two astronauts landed on",
    "Photosynthesis is the process by which plants",
    "1, 1, 2, 3, 5, 8, 13,",
    "For dinner tonight we will cook",
    "The theory of evolution was proposed by",
    "<p>Hello, world</p>\n<ul>\n<li>",
    "Émile aimait le café. Chaque matin, il",
    "The train left the station at noon and",
    "Explain in one sentence what a hash table is.",
)


@pytest.fixture
def gguf() -> Path:
    """The file named in HEADWAY_TEST_GGUF, else the one that the program has fetched."""
    if named := os.environ.get("HEADWAY_TEST_GGUF"):
        return Path(named)
    fetched = [model.path for model in hub.models() if model.name == "smollm2"]
    if not fetched:
        pytest.skip("smollm2 is not here: run `headway models pull smollm2`, or set HEADWAY_TEST_GGUF")
    return fetched[0]


@pytest.mark.slow
def test_twenty_real_prompts_in_one_batch(gguf: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    prompts = [tokenizer(text).input_ids for text in PROMPTS]
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32).eval()
    expected = [reference(model, prompt, NEW_TOKENS) for prompt in prompts]
    del model
    spec = read_spec(gguf)
    decoder = Decoder(spec, load_weights(gguf, spec, torch.float32))
    assert_same(expected, greedy(decoder, spec, prompts, NEW_TOKENS))
