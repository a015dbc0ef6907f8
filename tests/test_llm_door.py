"""What a call to the library may ask: the same numbers as over HTTP, refused by field."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headway import LLM, Sampling
from headway.llm import BadRequest
from headway.llm.door import Door, bounds
from headway.server.errors import ApiError
from headway.server.fields import most_tokens
from headway.server.schema import Completion
from headway.server.validation import validate
from tests.speaking_model import write_speaking_model

greedy = Sampling(max_tokens=12, temperature=0.0, ignore_eos=True)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    with LLM(str(write_speaking_model(tmp_path_factory.mktemp("model")))) as llm:
        yield llm


@pytest.mark.parametrize(
    ("prompt", "sampling", "field"),
    [
        ("", greedy, "prompt"),
        ("half of a pair: \ud800", greedy, "prompt"),
        ([[]], greedy, "prompt"),
        ([[300]], greedy, "prompt"),
        ([[-1]], greedy, "prompt"),
        ([[True]], greedy, "prompt"),
        ("a" * 501, greedy, "prompt"),  # with 12 more it is over the context of 512
        ("x", Sampling(max_tokens=0), "max_tokens"),
        ("x", Sampling(max_tokens=True), "max_tokens"),
        ("x", Sampling(temperature=float("nan")), "temperature"),
        ("x", Sampling(temperature=-1), "temperature"),
        ("x", Sampling(top_p=0.0), "top_p"),
        ("x", Sampling(top_p=1.5), "top_p"),
        ("x", Sampling(min_p=float("inf")), "min_p"),
        ("x", Sampling(top_k=-1), "top_k"),
        ("x", Sampling(seed=-1), "seed"),
        ("x", Sampling(logprobs=21), "logprobs"),
        ("x", Sampling(logit_bias=((300, 1.0),)), "logit_bias"),
        ("x", Sampling(logit_bias=((3, float("nan")),)), "logit_bias"),
        ("x", Sampling(stop_strings=("",)), "stop_strings"),
        ("x", Sampling(stop_ids=(300,)), "stop_ids"),
        ("x", [greedy, greedy], "sampling"),
        ("x", None, "sampling"),
        ("x", [None], "sampling"),
        (None, greedy, "prompts"),
        (5, greedy, "prompts"),
        ([None], greedy, "prompt"),
        ([b"x"], greedy, "prompt"),
        (b"x", greedy, "prompt"),
        ("x", Sampling(stop_strings=5), "stop_strings"),  # type: ignore[arg-type]
        ("x", Sampling(stop_strings="abc"), "stop_strings: .*a tuple of texts"),  # type: ignore[arg-type]
        ("x", Sampling(stop_strings=(5,)), "stop_strings"),  # type: ignore[arg-type]
        ("x", Sampling(stop_ids=5), "stop_ids"),  # type: ignore[arg-type]
        ("x", Sampling(stop_ids=("5",)), "stop_ids"),  # type: ignore[arg-type]
        ("x", Sampling(logit_bias={5: 1.0}), "logit_bias: .*a tuple of pairs"),  # type: ignore[arg-type]
        ("x", Sampling(logit_bias=((5, 1.0), (5, 2.0))), "logit_bias"),
        ("x", Sampling(max_tokens=4, min_tokens=5), "min_tokens: 5 is over max_tokens, which is 4"),
    ],
)
def test_what_cannot_be_is_refused_by_field(llm: LLM, prompt: str, sampling: Sampling, field: str) -> None:
    with pytest.raises(BadRequest, match=field):
        llm.generate(prompt, sampling, progress=False)


@pytest.mark.parametrize(
    ("conversations", "what"),
    [
        (None, "conversations"),
        ("hello", r"messages\[0\]"),
        ([[]], "messages"),
        ([{"role": "wizard", "content": "a"}], r"messages\[0\]\.role: 'wizard'"),
        ([{"content": "a"}], r"messages\[0\]\.role"),
        ([{"role": "user", "content": "a"}, {"role": "user"}], r"messages\[1\]\.content"),
        ([[{"role": "user", "content": 5}]], r"messages\[0\]\.content"),
    ],
)
def test_a_conversation_that_is_none_is_refused_by_place(llm: LLM, conversations: Any, what: str) -> None:
    with pytest.raises(BadRequest, match=what):
        llm.chat(conversations, greedy, progress=False)


def test_a_flat_list_of_ids_is_one_prompt_as_over_http(llm: LLM) -> None:
    (flat,) = llm.generate([1, 2, 3], greedy, progress=False)
    (nested,) = llm.generate([[1, 2, 3]], greedy, progress=False)
    assert flat.token_ids == nested.token_ids


def test_a_model_may_be_named_by_a_path(tmp_path: Path) -> None:
    with LLM(write_speaking_model(tmp_path)) as llm:
        assert llm.facts.vocab > 0


def is_taken_over_http(name: str, value: float) -> bool:
    try:
        validate(Completion, {"prompt": "x", name: value})
    except ApiError:
        return False
    return True


def is_taken_here(door: Door, name: str, value: float) -> bool:
    numbers: dict[str, Any] = {"max_tokens": most_tokens, name: value}
    try:
        door.sampling(replace(greedy, **numbers))
    except BadRequest:
        return False
    return True


# Over HTTP -1 switches top_k off, and seeds below 0 are folded; Completion has no prompt_logprobs.
@pytest.mark.parametrize("name", sorted(bounds.keys() - {"top_k", "seed", "prompt_logprobs"}))
def test_a_number_s_bounds_are_those_over_http(llm: LLM, name: str) -> None:
    door = Door(llm.tokenizer, llm.facts.vocab, seed=0, classes=())
    low, high = bounds[name]
    step = 1 if isinstance(low, int) else 0.001
    for value in (low - step, low, high, high + step):
        assert is_taken_here(door, name, value) == is_taken_over_http(name, value) == (low <= value <= high)
