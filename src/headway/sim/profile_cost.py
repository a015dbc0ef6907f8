"""What a step costs on a machine that was calibrated, so that the simulator runs on it.

The fitted formula; what passes between steps of a server there, which in the simulator takes no time of its
own; and a request's way to the scheduler.
"""

from random import Random

from headway.bench.workload import Arrival
from headway.core.types import Batch
from headway.profile.cost import cost_of
from headway.profile.file import Calibration
from headway.sim.executor import Cost
from headway.sim.faults import Way


def profile_cost(calibration: Calibration, *, noise_seed: int | None = None) -> Cost:
    """Seconds of a batch. With a seed each step is longer or shorter as like steps were when it was measured,
    the same way in every run; None: every step takes what it mostly does.
    """
    step_s, between = cost_of(calibration.cost.factors), calibration.served
    quantiles, random = calibration.cost.noise, Random(noise_seed)

    def steady_s(batch: Batch) -> float:
        return step_s(batch.slices) + between.step_s + between.sequence_s * len(batch.slices)

    def noisy_s(batch: Batch) -> float:
        ratio = quantiles[int(random.random() * len(quantiles))]
        return ratio * step_s(batch.slices) + between.step_s + between.sequence_s * len(batch.slices)

    return steady_s if noise_seed is None else noisy_s


def profile_way(calibration: Calibration) -> Way:
    """To the scheduler, and of the first token back, which is counted here too: a client waits for both."""
    request_s, prompt_token_s = calibration.served.request_s, calibration.served.prompt_token_s

    def way_s(arrival: Arrival) -> float:
        return request_s + prompt_token_s * arrival.prompt_tokens

    return way_s
