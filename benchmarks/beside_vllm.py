"""Headway and vLLM's CPU build on the same weights, in turns, in one run.

    python benchmarks/beside_vllm.py --vllm-python PATH --vllm-model FOLDER [--headway-model smollm2] [--json]

benchmarks/README.md says how to install vLLM beside Headway and how to make FOLDER. In each round, for each
batch size, Headway is measured and then vLLM: float32, the same cores, random prompts handed over together,
greedy, end of text ignored, no prefix cache, a warm-up of two tokens a sequence before each measurement. The
words mean the same for both, one run giving all three:

    prefill tok/s   prompt tokens / time from handing them over to the end of the last step with prompts in it
    decode tok/s    output tokens of the steps after that / their time
    tpot_ms         mean time of those steps

Both take steps of up to 4,096 tokens, vLLM's default offline (Headway's own 256 are meant for serving).
Headway runs prompts before decodes. vLLM runs as it comes: where the prompts are more than that, the
first sequences' decodes that share a step with prompts count as prefill time (95 decodes beside 8,192
prompt tokens at batch 64).

Only one engine is awake at a time: Headway's process is started anew for each measurement; vLLM's are started
once and stopped (SIGSTOP) in between, since waiting threads would spin. Figures of different runs or hours do
not compare; the ratio within a round does. Linux only.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import IO, Any

RATES = ("prefill_tok_s", "decode_tok_s", "tpot_ms")
RATIOS = ("prefill_tok_s", "decode_tok_s")
VLLM_KV_GIB = 4
EXIT_S = 30.0

Measured = dict[str, float]  # "batch_size" and RATES
Round = dict[str, Measured]  # by engine, of one batch size


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vllm-python", type=Path, required=True, help="interpreter that has vLLM")
    parser.add_argument("--vllm-model", type=Path, required=True, help="folder of the weights as float32")
    parser.add_argument(
        "--vllm-preload", default="", help="libraries to preload into vLLM, as LD_PRELOAD names them"
    )
    parser.add_argument("--headway-model", default="smollm2", help="the same weights, as Headway names them")
    parser.add_argument("--batch-sizes", type=sizes, default="1,4,16,32,64")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--output-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2, help="of each engine, on the first so many cores")
    parser.add_argument("--json", action="store_true", help="the last line is everything as one JSON object")
    return parser.parse_args()


def sizes(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


class Vllm:
    """A running vllm_offline.py, which sleeps unless it measures."""

    def __init__(self, process: "subprocess.Popen[str]", log: IO[str]) -> None:
        self._process = process
        self._log = log
        self.versions: dict[str, str] = self._answer()["versions"]
        self._signal(signal.SIGSTOP)

    def measure(self, batch_size: int, given: argparse.Namespace, seed: int) -> Measured:
        assert self._process.stdin is not None
        order = {
            "batch_size": batch_size,
            "prompt_tokens": given.prompt_tokens,
            "output_tokens": given.output_tokens,
            "seed": seed,
        }
        self._signal(signal.SIGCONT)
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        measured: Measured = self._answer()
        self._signal(signal.SIGSTOP)
        return measured

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            sys.exit(f"vLLM ended; the end of what it said:\n{self._log.read()[-3000:]}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        os.killpg(self._process.pid, number)  # its workers too: it leads their group


@contextmanager
def running_vllm(given: argparse.Namespace) -> Iterator[Vllm]:
    environment = os.environ | {
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{given.threads - 1}",
        "VLLM_CPU_KVCACHE_SPACE": str(VLLM_KV_GIB),
        # The scheduler in the process that hands over the prompts: all are there before the first step.
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    }
    if given.vllm_preload:
        environment["LD_PRELOAD"] = given.vllm_preload
    half = Path(__file__).with_name("vllm_offline.py")
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [given.vllm_python, half, given.vllm_model],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            start_new_session=True,
        )
        try:
            yield Vllm(process, log)
        finally:
            end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """Lets it end by itself, since its input ends; then ends what is left of its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGCONT)
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(EXIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


STEP_TOKENS = 4096


def measure_headway(batch_size: int, given: argparse.Namespace, seed: int) -> Measured:
    command = [Path(sys.executable).with_name("headway"), "bench", "offline", given.headway_model, "--json"]
    figures = {
        "--batch-sizes": batch_size,
        "--prompt-tokens": given.prompt_tokens,
        "--output-tokens": given.output_tokens,
        "--threads": given.threads,
        "--max-num-batched-tokens": STEP_TOKENS,
        "--seed": seed,
    }
    for flag, value in figures.items():
        command += [flag, str(value)]
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        sys.exit(f"headway bench offline ended with {ran.returncode}:\n{(ran.stdout + ran.stderr)[-3000:]}")
    measured: Measured = json.loads(ran.stdout.splitlines()[-1])["results"][0]
    return measured


def measure_rounds(vllm: Vllm, given: argparse.Namespace) -> list[list[Round]]:
    """By round, then by batch size."""
    rounds: list[list[Round]] = []
    for number in range(given.rounds):
        rounds.append([])
        for batch_size in given.batch_sizes:
            both = {
                "headway": measure_headway(batch_size, given, number),
                "vllm": vllm.measure(batch_size, given, number),
            }
            rounds[-1].append(both)
            said = ", ".join(
                f"{engine} {m['prefill_tok_s']:.0f} prefill {m['decode_tok_s']:.1f} decode"
                for engine, m in both.items()
            )
            print(f"round {number + 1} of {given.rounds}, batch {batch_size}: {said}", file=sys.stderr)
    return rounds


def spread(values: list[float]) -> dict[str, float]:
    return {"median": median(values), "min": min(values), "max": max(values)}


def summary(rounds: list[Round]) -> dict[str, Any]:
    """Over the rounds of one batch size; a ratio is taken within each round first."""
    engines = {
        engine: {rate: spread([both[engine][rate] for both in rounds]) for rate in RATES}
        for engine in ("headway", "vllm")
    }
    ratios = {
        rate: spread([both["headway"][rate] / both["vllm"][rate] for both in rounds]) for rate in RATIOS
    }
    return {"batch_size": rounds[0]["headway"]["batch_size"], **engines, "headway_over_vllm": ratios}


def machine() -> dict[str, Any]:
    lines = (line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines())
    facts = {name.strip(): value.strip() for name, _, value in lines}
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile")
    return {
        "cpu": facts.get("model name", "unknown"),
        "instructions": [name for name in known if name in facts.get("flags", "").split()],
        "cores": os.cpu_count(),
        "load_average_before": os.getloadavg()[0],
    }


def table(results: list[dict[str, Any]]) -> str:
    head = f"{'batch':>5} {'':13} {'headway':>22} {'vllm':>22} {'headway/vllm':>18}"
    lines = ["median (least-most) over the rounds", head]
    for result in results:
        for rate in RATES:
            cells = [f"{result['batch_size']:>5} {rate:13}"]
            cells += [f"{told(result[engine][rate], 1):>22}" for engine in ("headway", "vllm")]
            if rate in RATIOS:
                cells.append(f"{told(result['headway_over_vllm'][rate], 2):>18}")
            lines.append(" ".join(cells))
    return "\n".join(lines)


def told(values: dict[str, float], digits: int) -> str:
    return "{median:.{d}f} ({min:.{d}f}-{max:.{d}f})".format(d=digits, **values)


def main() -> None:
    given = options()
    before = machine()
    os.sched_setaffinity(0, range(given.threads))  # both engines inherit it
    with running_vllm(given) as vllm:
        versions = {"headway": version("headway"), "headway_torch": version("torch"), **vllm.versions}
        rounds = measure_rounds(vllm, given)
    results = [summary(list(of_size)) for of_size in zip(*rounds, strict=True)]
    print(table(results))
    if given.json:
        workload = {"prompt_tokens": given.prompt_tokens, "output_tokens": given.output_tokens}
        run = {"threads": given.threads, "vllm_preload": Path(given.vllm_preload).name, **workload}
        told_all = {"machine": before, "versions": versions, "run": run}
        print(json.dumps({**told_all, "results": results, "rounds": rounds}))


if __name__ == "__main__":
    main()
