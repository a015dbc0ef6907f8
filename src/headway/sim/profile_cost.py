"""What a step costs on a machine that was calibrated, so that the simulator runs on it.

The fitted formula, and what the host does between steps, which in the simulator takes no time of its own.
"""

from random import Random

from headway.core.types import Batch
from headway.profile.cost import cost_of
from headway.profile.file import Calibration
from headway.sim.executor import Cost


def profile_cost(calibration: Calibration, *, noise_seed: int | None = None) -> Cost:
    """Seconds of a batch. With a seed each step is longer or shorter as like steps were when it was measured,
    the same way in every run; None: every step takes what it mostly does.
    """
    step_s, host = cost_of(calibration.cost.factors), calibration.host
    quantiles, random = calibration.cost.noise, Random(noise_seed)

    def steady_s(batch: Batch) -> float:
        return step_s(batch.slices) + host.step_s + host.sequence_s * len(batch.slices)

    def noisy_s(batch: Batch) -> float:
        ratio = quantiles[int(random.random() * len(quantiles))]
        return ratio * step_s(batch.slices) + host.step_s + host.sequence_s * len(batch.slices)

    return steady_s if noise_seed is None else noisy_s
