"""What messages between GPUs cost: all-reduces, all-to-alls and pipeline sends.

Owns which link a group of GPUs uses. Fits, their sources and their errors stand in `fits.py`; of all-reduces
they are 1 to 10 % in the median, by node type.
"""

from bisect import bisect_left
from enum import StrEnum

from headway.sim.devices import Device
from headway.sim.fits import ETHERNET_SENDS, FAMILIES, LinkFit, send_latency_s


class Link(StrEnum):
    NVLINK = "nvlink"  # or another maker's fabric
    PCIE = "pcie"
    ETHERNET = "ethernet"  # between nodes, 100 Gb


def link_of(device: Device, gpus: int) -> Link:
    """The best that joins so many of one node."""
    joined = device.nvlink_bytes_s is not None and gpus <= device.nvlink_gpus
    return Link.NVLINK if joined else Link.PCIE


def all_reduce_s(device: Device, link: Link, gpus: int, bytes: float, own_s: float | None = None) -> float:
    """Seconds for a message of `bytes` on every one of `gpus`. `own_s`: an engine's own latency on NVLink.

    A ring: each GPU sends and receives 2 (gpus - 1) / gpus of the message. Over Ethernet its 2 (gpus - 1)
    steps each wait for a piece that goes between nodes.
    """
    if gpus == 1:
        return 0.0
    if link is Link.ETHERNET:
        return 2 * (gpus - 1) * ethernet_s(bytes / gpus)
    fit, peak = _fit(device, link)
    latency_s = own_s if own_s is not None and link is Link.NVLINK else FAMILIES[device.family].message_s
    return ring_s(latency_s, fit, peak, gpus, bytes)


def ring_s(latency_s: float, fit: LinkFit, peak: float, gpus: int, bytes: float) -> float:
    """`peak` in bytes/s, both ways."""
    moved_s = 2 * (gpus - 1) / gpus * bytes / (fit.share * peak / 2)
    return float((latency_s**fit.blend + moved_s**fit.blend) ** (1 / fit.blend))


def all_to_all_s(device: Device, link: Link, gpus: int, bytes: float, own_s: float | None = None) -> float:
    """Seconds until each of `gpus` has exchanged its `bytes` for a part of everybody's: half a ring's way."""
    return all_reduce_s(device, link, gpus, bytes / 2, own_s)


def send_s(device: Device, link: Link, bytes: float) -> float:
    """Seconds from one pipeline stage to the next."""
    if link is Link.ETHERNET:
        return ethernet_s(bytes)
    fit, peak = _fit(device, link)
    share = 1.0 if link is Link.NVLINK else fit.share
    return send_latency_s + bytes / (share * peak / 2)


def ethernet_s(bytes: float) -> float:
    """Between two nodes, by the measured points."""
    at = bisect_left(ETHERNET_SENDS, (bytes, 0.0))
    if at == len(ETHERNET_SENDS):
        most, most_s = ETHERNET_SENDS[-1]
        return bytes * most_s / most
    (low, low_s), (high, high_s) = ETHERNET_SENDS[max(at - 1, 0)], ETHERNET_SENDS[max(at, 1)]
    return low_s + (high_s - low_s) * (bytes - low) / (high - low)


def _fit(device: Device, link: Link) -> tuple[LinkFit, float]:
    """The link's fit, and its peak in bytes/s both ways."""
    family = FAMILIES[device.family]
    if link is Link.PCIE:
        return family.pcie, device.pcie_bytes_s
    assert device.nvlink_bytes_s is not None, "a link that the device has not"
    return family.pair if device.nvlink_gpus == 2 else family.switch, device.nvlink_bytes_s
