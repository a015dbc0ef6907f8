"""What JSON cannot say is said otherwise."""

from headway.core.types import Logprob, Reason
from headway.server.choice import Delta
from headway.server.shapes import ChatShape, CompletionShape
from tests.server.byte_text import byte_tokenizer

tokenizer = byte_tokenizer()
impossible = Delta(0, "a", (97,), (Logprob(97, -float("inf"), ((97, -float("inf")),)),), (0,), Reason.STOP)


def test_an_impossible_token_has_the_lowest_log_probability_not_infinity() -> None:
    chat = ChatShape("id", 0, "model", tokenizer, logprobs=True, tier="default").piece(impossible)
    entry = chat["choices"][0]["logprobs"]["content"][0]
    assert entry["logprob"] == entry["top_logprobs"][0]["logprob"] == -9999.0
    completion = CompletionShape("id", 0, "model", tokenizer, logprobs=True).piece(impossible)
    scored = completion["choices"][0]["logprobs"]
    assert scored["token_logprobs"] == [-9999.0]
    assert scored["top_logprobs"] == [{"a": -9999.0}]


def test_of_two_tokens_with_one_text_the_likelier_stands() -> None:
    cut = Delta(0, "", (0xC3,), (Logprob(0xC3, -2.0, ((0xC4, -0.1), (0xC3, -2.0))),), (0,), None)
    shape = CompletionShape("id", 0, "model", tokenizer, logprobs=True)
    assert shape.piece(cut)["choices"][0]["logprobs"]["top_logprobs"] == [{"\ufffd": -0.1}]


def test_a_cut_character_keeps_its_bytes() -> None:
    cut = Delta(0, "", (0xC3,), (Logprob(0xC3, -2.0, ()),), (0,), None)
    chat = ChatShape("id", 0, "model", tokenizer, logprobs=True, tier="default").piece(cut)
    assert chat["choices"][0]["logprobs"]["content"][0]["bytes"] == [0xC3]
