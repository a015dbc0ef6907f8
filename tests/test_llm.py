"""The library: prompts in, outputs out, from an engine in this process."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import headway
from headway import LLM, Sampling
from headway.config import ConfigError, Settings
from headway.core.types import Reason
from headway.hub import ModelNotFound
from headway.llm import BadRequest, EngineGone, Output, Piece
from tests.speaking_model import write_speaking_model

greedy = Sampling(max_tokens=12, temperature=0.0, ignore_eos=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_speaking_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def llm(folder: Path) -> Iterator[LLM]:
    with LLM(Settings(model=str(folder), max_num_seqs=4, max_num_batched_tokens=32)) as llm:
        yield llm


def one(llm: LLM, prompt: str, sampling: Sampling = greedy) -> Output:
    (output,) = llm.generate(prompt, sampling, progress=False)
    return output


def test_outputs_come_in_the_order_of_their_prompts(llm: LLM) -> None:
    prompts = [f"prompt {i} " * (1 + i % 5) for i in range(40)]
    together = llm.generate(prompts, greedy, progress=False)
    assert [o.token_ids for o in together] == [one(llm, prompt).token_ids for prompt in prompts]
    assert len({o.token_ids for o in together}) > 20


def test_more_prompts_than_are_let_in_at_a_time_are_all_answered(llm: LLM) -> None:
    few = Sampling(max_tokens=2, temperature=0.0, ignore_eos=True)
    outputs = llm.generate([[i % 256] for i in range(100)], few, progress=False)
    assert [o.usage.output_tokens for o in outputs] == [2] * 100


def test_token_ids_are_a_prompt_too(llm: LLM) -> None:
    ids = llm.tokenizer.encode("hello", add_special=True)
    (by_ids,) = llm.generate([ids], greedy, progress=False)
    assert by_ids.token_ids == one(llm, "hello").token_ids


def test_each_prompt_may_have_its_own_sampling(llm: LLM) -> None:
    lengths = [3, 1, 5]
    samplings = [Sampling(max_tokens=n, ignore_eos=True) for n in lengths]
    outputs = llm.generate(["a", "b", "c"], samplings, progress=False)
    assert [len(o.token_ids) for o in outputs] == lengths


def test_an_output_says_why_it_ended_what_it_used_and_where_its_time_went(llm: LLM) -> None:
    output = one(llm, "how are you")
    assert output.reason is Reason.LENGTH
    assert (output.usage.prompt_tokens, output.usage.output_tokens) == (11, 12)
    assert len(output.token_ids) == 12
    assert llm.tokenizer.decode(output.token_ids) == output.text
    t = output.timings
    shares = (t.queue_s, t.prefill_s, t.interference_s, t.decode_s, t.preemption_s, t.host_s)
    assert t.total_s == pytest.approx(sum(shares))
    assert t.total_s > 0


def test_a_prompt_that_was_seen_before_is_taken_from_the_cache(llm: LLM) -> None:
    prompt = "the very same long beginning of a prompt " * 3
    one(llm, prompt)
    assert one(llm, prompt).usage.cached_tokens >= 64


def test_a_stop_string_ends_the_answer_before_itself(llm: LLM) -> None:
    whole = one(llm, "stop me", Sampling(max_tokens=40, temperature=0.0, ignore_eos=True))
    stop = next(whole.text[i : i + 2] for i in range(5, 30) if whole.text[i : i + 2].isascii())
    output = one(
        llm, "stop me", Sampling(max_tokens=40, temperature=0.0, ignore_eos=True, stop_strings=(stop,))
    )
    assert output.reason is Reason.STOP
    assert output.text == whole.text[: whole.text.index(stop)]
    assert output.token_ids == whole.token_ids[: len(output.token_ids)]
    assert output.usage.output_tokens == len(output.token_ids)


def test_a_stop_string_within_the_first_min_tokens_is_let_stand(llm: LLM) -> None:
    whole = one(llm, "stop me")
    stop = whole.text[0]
    sampling = replace(greedy, stop_strings=(stop,), min_tokens=greedy.max_tokens)
    assert one(llm, "stop me", sampling).text == whole.text
    assert one(llm, "stop me", replace(sampling, min_tokens=0)).text == ""


def test_a_stop_id_ends_the_answer_and_adds_no_text(llm: LLM) -> None:
    whole = one(llm, "stop me")
    stopped = one(llm, "stop me", Sampling(max_tokens=12, temperature=0.0, stop_ids=(whole.token_ids[4],)))
    last = stopped.token_ids.index(whole.token_ids[4])
    assert stopped.reason is Reason.STOP
    assert stopped.token_ids == whole.token_ids[: last + 1]
    assert stopped.text == llm.tokenizer.decode(whole.token_ids[:last])


def test_log_probabilities_come_one_per_token(llm: LLM) -> None:
    output = one(llm, "likely", Sampling(max_tokens=5, temperature=0.0, ignore_eos=True, logprobs=3))
    assert [logprob.token for logprob in output.logprobs] == list(output.token_ids)
    assert all(len(logprob.top) == 3 and logprob.top[0][0] == logprob.token for logprob in output.logprobs)


def test_log_probabilities_of_the_prompt_come_from_its_second_token_on(llm: LLM) -> None:
    output = one(llm, "abcdef", Sampling(max_tokens=1, prompt_logprobs=0))
    prompt = llm.tokenizer.encode("abcdef", add_special=True)
    assert [logprob.token for logprob in output.prompt_logprobs] == prompt[1:]


def test_the_same_seed_gives_the_same_answer_and_another_seed_another(llm: LLM) -> None:
    outputs = [one(llm, "dice", Sampling(max_tokens=20, seed=seed, ignore_eos=True)) for seed in (1, 1, 2)]
    assert outputs[0].token_ids == outputs[1].token_ids != outputs[2].token_ids


def test_an_engine_s_seed_makes_requests_without_one_repeatable(folder: Path) -> None:
    random = Sampling(max_tokens=20, ignore_eos=True)

    def answers() -> list[tuple[int, ...]]:
        with LLM(Settings(model=str(folder), seed=7)) as llm:
            return [o.token_ids for o in llm.generate(["a", "a"], random, progress=False)]

    first = answers()
    assert first == answers()
    assert first[0] != first[1]


def test_a_conversation_goes_through_the_model_s_template(llm: LLM) -> None:
    messages = [{"role": "user", "content": "hi"}]
    (answer,) = llm.chat(messages, greedy, progress=False)
    prompt = llm.tokenizer.encode("<|begin|>user:hi<|end|><|begin|>assistant:", add_special=False)
    (same,) = llm.generate([prompt], greedy, progress=False)
    assert answer.token_ids == same.token_ids
    assert len(llm.chat([messages, messages], greedy, progress=False)) == 2


def test_a_chat_without_sampling_may_go_on_to_the_end_of_the_context(llm: LLM) -> None:
    asked = llm.ask_chat([{"role": "user", "content": "hi"}], None)
    assert len(asked.prompt) + asked.sampling.max_tokens == llm.facts.max_model_len


def test_a_stream_s_pieces_add_up_to_its_output(llm: LLM) -> None:
    async def collect() -> list[Piece]:
        return [piece async for piece in llm.stream("stream", greedy)]

    *pieces, last = asyncio.run(collect())
    assert last.output is not None
    assert len(pieces) >= 5  # a step's token may not be a whole character yet
    assert "".join(piece.text for piece in (*pieces, last)) == last.output.text
    assert [id for piece in pieces for id in piece.token_ids] == list(last.output.token_ids)
    assert last.output.token_ids == one(llm, "stream").token_ids


def test_leaving_a_stream_early_frees_its_place(folder: Path) -> None:
    async def leave(llm: LLM) -> None:
        stream = llm.stream("stream", Sampling(max_tokens=400, ignore_eos=True))
        async for piece in stream:
            assert piece.output is None
            break
        await stream.aclose()  # type: ignore[attr-defined]

    # One place only: the second answer could not begin before the first had gone.
    with LLM(Settings(model=str(folder), max_num_seqs=1)) as llm:
        asyncio.run(leave(llm))
        assert one(llm, "next").usage.output_tokens == 12


def test_a_refusal_ends_the_call_and_leaves_the_engine_idle(llm: LLM) -> None:
    with pytest.raises(BadRequest, match="prompt 1"):
        llm.generate(["fine", "a" * 600], Sampling(max_tokens=300, ignore_eos=True), progress=False)
    assert one(llm, "after").usage.output_tokens == 12


@pytest.mark.parametrize(
    "settings",
    [
        {"policy": "static"},
        {"policy": "static", "batch_wait": 0.05},
        {"policy": "prefill-first"},
        {"policy": "decode-first"},
        {"policy": "aimd"},
        {"policy": "adaptive"},
        {"kv_allocation": "reserved-request"},
        {"kv_allocation": "reserved-context"},
        {"prefix_caching": False},
        {"block_size": 5},
        {"max_num_batched_tokens": 7},
        {"threads": 2},
    ],
    ids=str,
)
def test_no_setting_of_the_scheduler_changes_an_answer(
    folder: Path, llm: LLM, settings: dict[str, Any]
) -> None:
    prompts = ["one", "two and a little more", "three " * 20, "two and a little less"]
    with LLM(Settings(**{"model": str(folder), "max_num_seqs": 3, **settings})) as other:
        answers = other.generate(prompts, greedy, progress=False)
    expected = llm.generate(prompts, greedy, progress=False)
    assert [a.token_ids for a in answers] == [e.token_ids for e in expected]


def test_several_engines_fit_in_a_process(folder: Path, llm: LLM) -> None:
    with LLM(str(folder)) as other:
        assert one(other, "both").token_ids == one(llm, "both").token_ids


def test_threads_may_share_an_engine(llm: LLM) -> None:
    expected = {prompt: one(llm, prompt).token_ids for prompt in ("red", "green", "blue")}
    got: dict[str, tuple[int, ...]] = {}

    def ask(prompt: str) -> None:
        got[prompt] = one(llm, prompt).token_ids

    threads = [threading.Thread(target=ask, args=(prompt,)) for prompt in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert got == expected


def test_a_closed_engine_takes_nothing_and_tells_those_who_wait(folder: Path) -> None:
    llm = LLM(str(folder))

    async def close_after_the_first_piece() -> None:
        async for _ in llm.stream("long", Sampling(max_tokens=480, ignore_eos=True)):
            await asyncio.to_thread(llm.close)

    with pytest.raises(EngineGone):
        asyncio.run(close_after_the_first_piece())
    with pytest.raises(EngineGone):
        one(llm, "late")


def test_closing_ends_the_threads_and_leaves_nothing_that_holds_the_model(folder: Path) -> None:
    before = threading.active_count()
    llm = LLM(str(folder))
    assert threading.active_count() == before + 2
    llm.close()
    assert threading.active_count() == before
    held = weakref.ref(llm)
    del llm
    gc.collect()
    assert held() is None


def test_loading_tells_its_phases(folder: Path) -> None:
    phases: list[str] = []
    LLM(str(folder), told=lambda phase, seconds: phases.append(phase)).close()
    assert phases == ["weights loaded", "weights laid out", "KV cache taken"]


def test_an_unknown_model_and_one_that_does_not_fit_are_refused(folder: Path) -> None:
    with pytest.raises(ModelNotFound):
        LLM("no-such-model")
    with pytest.raises(ConfigError, match="--max-model-len 512"):
        LLM(Settings(model=str(folder), max_model_len=1000))


def test_the_package_offers_two_names() -> None:
    assert headway.__all__ == ["LLM", "Sampling"]
    with pytest.raises(AttributeError):
        headway.nothing  # type: ignore[attr-defined]  # noqa: B018
