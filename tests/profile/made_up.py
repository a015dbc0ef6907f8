"""A profile that no machine gave: its formula is known, and so is everything else."""

from headway.profile.cost import ROW_KNOTS, TOKEN_KNOTS, Factors
from headway.profile.file import (
    VERSION,
    Calibration,
    Cost,
    Errors,
    Forecast,
    Group,
    Host,
    Machine,
    Made,
    MeasuredStep,
    Model,
    Peaks,
    Room,
    Served,
)

FACTORS = Factors(
    base_s=10e-3,
    token_s=(3e-3, 2e-3, 1.5e-3, 1e-3, 1e-3, 1.2e-3, 1e-3, 1e-3, 1e-3, 1.1e-3, 1.1e-3),
    head_s=4e-3,
    row_s=(0.2e-3, 0.5e-3),
    sequence_s=0.1e-3,
    chunk_s=0.4e-3,
    context_s=1e-6,
    pair_s=0.3e-6,
    chunk_context_s=2e-6,
)


def made_up(factors: Factors = FACTORS) -> Calibration:
    dimensions: dict[str, int | float | str | bool] = {"family": "llama", "layers": 2, "gated": True}
    return Calibration(
        version=VERSION,
        made=Made("2026-11-21T12:00:00+00:00", "0.1.0", "", 60.0, True, 0.0),
        machine=Machine("A processor", 2, 2, "native v4"),
        model=Model("tiny", dimensions, 12_345),
        peaks=Peaks(1e10, 1e11),
        host=Host(2e-3, 1e-5),
        served=Served(4e-3, 2e-6, 3e-3, 1e-4),
        room=Room(64_000, 2048),
        cost=Cost(TOKEN_KNOTS, ROW_KNOTS, factors, (0.9, 1.0, 1.3)),
        forecast=Forecast((4, 16), 0.01, (0.003, 0.002, 0.001), 1e-4, 1e-6, 1e-7),
        errors=(Errors("all", 1, 0.01, 0.02),),
        steps=(MeasuredStep("decode", (Group(4, 63, 1, True),), 0.02, 0.01, 5, True),),
    )
