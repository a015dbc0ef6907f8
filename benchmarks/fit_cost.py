"""Fits the cost model's numbers again, shows every row's error, and compares with those in the code.

    python benchmarks/fit_cost.py --data DIR

DIR holds linear_op_times_ms.csv and all_reduce_times_ms.csv: medians that microsoft/vidur measured (MIT),
condensed; they are not part of this repository. Ends with 1 where a number in the code is off by more than
`tolerance` in what it predicts.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from math import log, sqrt
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from headway.sim.devices import DEVICES, Device
from headway.sim.fits import FAMILIES, Family, LinkFit
from headway.sim.interconnect import ring_s
from headway.sim.layers import elementwise_s, matrices, matrix_s
from headway.sim.models import MODELS, value_bytes

small_message = 200_000  # bytes: launches bind what is smaller
tolerance = 0.02  # of the root mean square error, or of the median one where rows scatter
devices = {"a100": DEVICES["A100-80"], "h100": DEVICES["H100"]}
models = {"Meta-Llama-3-8B": "Llama3-8B", "Llama-2-7b-hf": "Llama2-7B", "Llama-2-70b-hf": "Llama2-70B"}
linear_columns = ("qkv_ms", "o_ms", "gate_up_ms", "down_ms")
elementwise_columns = ("act_ms", "rope_ms", "norm1_ms", "norm2_ms", "add_ms")
Guess = tuple[float, ...]


class Row(NamedTuple):
    label: str
    measured_s: float
    facts: tuple[Any, ...]


class Fit(NamedTuple):
    """Of some rows: how seconds follow from numbers, and those that the code has."""

    name: str
    rows: list[Row]
    predict: Callable[[Guess, Row], float]
    coded: Guess
    robust: bool  # rows scatter: the mean absolute error is made least, not the square

    def errors(self, numbers: Guess) -> list[float]:
        """Logarithms of predicted over measured."""
        return [log(self.predict(numbers, row) / row.measured_s) for row in self.rows]

    def loss(self, numbers: Guess) -> float:
        if min(numbers) <= 0 or (self.robust and numbers[-1] < 1):
            return 1e9
        errors = self.errors(numbers)
        if self.robust:
            return sum(map(abs, errors)) / len(errors)
        return sqrt(sum(error * error for error in errors) / len(errors))


def layer_fits(data: Path) -> list[Fit]:
    fits = []
    rows = read(data / "linear_op_times_ms.csv")
    for gpu, device in devices.items():
        own = [row for row in rows if row["gpu"] == gpu]
        family = FAMILIES[device.family]
        linear, elementwise = layer_rows(own, linear_columns), layer_rows(own, elementwise_columns)
        coded: Guess = (
            family.weight_mbu, family.linear_mfu, family.linear_blend, family.operation_s * 1e6,
            family.tile_share,
        )  # fmt: skip
        fits.append(Fit(f"{gpu} linear", linear, linear_predictor(device, family), coded, robust=False))
        coded = (
            family.layer_s * 1e6, family.column_s * 1e9, family.elementwise_mbu, family.elementwise_blend,
        )  # fmt: skip
        predict = elementwise_predictor(device, family)
        fits.append(Fit(f"{gpu} elementwise", elementwise, predict, coded, robust=False))
    return fits


def layer_rows(rows: list[dict[str, str]], columns: Sequence[str]) -> list[Row]:
    return [
        Row(
            f"{row['model']:<16} TP{row['tp']} {row['tokens']:>5} tokens",
            sum(float(row[column]) for column in columns) / 1e3,
            (MODELS[models[row["model"]]], int(row["tp"]), int(row["tokens"])),
        )
        for row in rows
    ]


def linear_predictor(device: Device, family: Family) -> Callable[[Guess, Row], float]:
    def predict(numbers: Guess, row: Row) -> float:
        mbu, mfu, blend, operation_us, share = numbers
        model, tp, tokens = row.facts
        fit = replace(family, linear_blend=blend, operation_s=operation_us * 1e-6, tile_share=share)
        memory, compute = value_bytes / (device.bytes_s * mbu), 2 / (device.flop_s * mfu)
        return sum(matrix_s(fit, weights, tokens, memory, compute) for weights in matrices(model, tp))

    return predict


def elementwise_predictor(device: Device, family: Family) -> Callable[[Guess, Row], float]:
    def predict(numbers: Guess, row: Row) -> float:
        layer_us, column_ns, mbu, blend = numbers
        model, tp, tokens = row.facts
        fit = replace(
            family,
            layer_s=layer_us * 1e-6,
            column_s=column_ns * 1e-9,
            elementwise_mbu=mbu,
            elementwise_blend=blend,
        )
        return elementwise_s(fit, model, tp, tokens, device.bytes_s)

    return predict


def link_fits(data: Path) -> list[Fit]:
    """By node type. "a100_dgx" is left out, as `fits.py` says."""
    rows = read(data / "all_reduce_times_ms.csv")
    ampere, hopper = FAMILIES["ampere"], FAMILIES["hopper"]
    nodes = [
        (ampere, "a100_pairwise_nvlink", (2,), ampere.pair, 600e9),
        (ampere, "a100_pairwise_nvlink", (4,), ampere.pcie, 64e9),
        (hopper, "h100_dgx", (2, 4, 8), hopper.switch, 900e9),
        (hopper, "h100_pairwise_nvlink", (2,), hopper.pair, 600e9),
        (hopper, "h100_pairwise_nvlink", (4,), hopper.pcie, 128e9),
    ]
    fits, small = [], defaultdict[float, list[float]](list)
    for family, node, gpus, link, peak in nodes:
        own = link_rows(rows, node, gpus)
        small[family.message_s] += [row.measured_s for row in own if row.facts[1] < small_message]
        name = f"{node}, {'/'.join(map(str, gpus))} GPUs"
        predict = link_predictor(family, peak)
        fits.append(Fit(name, own, predict, (link.share, link.blend), robust=True))
    for coded_s, measured in small.items():
        print(f"small messages: {coded_s * 1e6:.1f} us in the code, {median(measured) * 1e6:.1f} us here")
    return fits


def link_rows(rows: list[dict[str, str]], node: str, gpus: tuple[int, ...]) -> list[Row]:
    return [
        Row(
            f"{row['gpus']:>2} GPUs {int(row['bytes']):>11,} bytes",
            float(row["median_ms"]) / 1e3,
            (int(row["gpus"]), int(row["bytes"])),
        )
        for row in rows
        if row["node"] == node and int(row["gpus"]) in gpus
    ]


def link_predictor(family: Family, peak: float) -> Callable[[Guess, Row], float]:
    def predict(numbers: Guess, row: Row) -> float:
        return ring_s(family.message_s, LinkFit(*numbers), peak, *row.facts)

    return predict


def read(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def least(loss: Callable[[Guess], float], start: Guess, rounds: int = 500) -> Guess:
    """Where the loss is least, by Nelder and Mead's simplex."""
    corners = [start, *((*start[:i], start[i] * 1.15, *start[i + 1 :]) for i in range(len(start)))]
    simplex = sorted((loss(corner), corner) for corner in corners)
    for _ in range(rounds):
        worst_loss, worst = simplex[-1]
        middle = tuple(sum(values) / len(start) for values in zip(*(c for _, c in simplex[:-1]), strict=True))

        def along(way: float, middle: Guess = middle, worst: Guess = worst) -> tuple[float, Guess]:
            point = tuple(m + way * (m - w) for m, w in zip(middle, worst, strict=True))
            return loss(point), point

        new = along(1.0)
        if new[0] < simplex[0][0]:
            new = min(new, along(2.0))
        elif new[0] >= simplex[-2][0]:
            new = along(0.5 if new[0] < worst_loss else -0.5)
        if new[0] < worst_loss:
            simplex = sorted([*simplex[:-1], new])
        else:
            best = simplex[0][1]
            shrunk = [tuple((b + c) / 2 for b, c in zip(best, corner, strict=True)) for _, corner in simplex]
            simplex = sorted((loss(corner), corner) for corner in shrunk)
    return simplex[0][1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    data = parser.parse_args().data
    worse = 0
    for fit in [*layer_fits(data), *link_fits(data)]:
        fitted = least(fit.loss, fit.coded)
        print(f"\n{fit.name}: {len(fit.rows)} rows")
        for row, error in zip(fit.rows, fit.errors(fit.coded), strict=True):
            predicted_s = fit.predict(fit.coded, row)
            print(f"  {row.label}  {row.measured_s * 1e3:9.4f}  {predicted_s * 1e3:9.4f} ms  {error:+7.1%}")
        sizes = sorted(abs(fit.predict(fit.coded, row) / row.measured_s - 1) for row in fit.rows)
        print(f"  in the code {numbers(fit.coded)}: median error {median(sizes):.1%}, most {sizes[-1]:.0%}")
        print(
            f"  fitted here {numbers(fitted)}: loss {fit.loss(fitted):.4f}, code's {fit.loss(fit.coded):.4f}"
        )
        worse += fit.loss(fit.coded) > fit.loss(fitted) + tolerance
    print(f"\n{worse} of the fits are not those of the code" if worse else "\nthe code has these fits")
    return 1 if worse else 0


def numbers(guess: Guess) -> str:
    return " ".join(f"{number:.3f}" for number in guess)


if __name__ == "__main__":
    sys.exit(main())
