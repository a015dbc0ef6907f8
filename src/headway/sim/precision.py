"""How many bytes a number takes, of the weights or of the KV cache, and at which rate it is multiplied."""

from enum import StrEnum

from headway.sim.devices import Device

group = 128  # weights that share one 16-bit scale, in the four-bit formats


class Precision(StrEnum):
    """Of weights or of K and V. Embedding and head stay in 16 bit, as is usual."""

    BITS16 = "16bit"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    FP4 = "fp4"

    @property
    def bytes(self) -> float:
        """Of one number, with its share of the group's scale."""
        return _bytes[self]


_bytes = {
    Precision.BITS16: 2.0,
    Precision.FP8: 1.0,
    Precision.INT8: 1.0,
    Precision.INT4: 0.5 + 2 / group,
    Precision.FP4: 0.5 + 2 / group,
}


def flop_s(device: Device, weights: Precision) -> float:
    """The peak rate of the linear layers: the weights' own where the device has one, otherwise that of 16
    bit, to which the kernel widens them. int8 and int4 are taken for weights alone, so they gain bytes only.
    """
    if weights is Precision.FP4 and device.fp4_flop_s is not None:
        return device.fp4_flop_s
    if weights in (Precision.FP8, Precision.FP4) and device.fp8_flop_s is not None:
        return device.fp8_flop_s
    return device.flop_s
