"""Model files -> dimensions and family switches, without torch: the simulator needs them too."""

from headway.spec.model import (
    BadModel,
    DivisorScaling,
    LinearScaling,
    Llama3Scaling,
    ModelSpec,
    Rope,
    RopeScaling,
    YarnScaling,
)

__all__ = [
    "BadModel",
    "DivisorScaling",
    "LinearScaling",
    "Llama3Scaling",
    "ModelSpec",
    "Rope",
    "RopeScaling",
    "YarnScaling",
]
