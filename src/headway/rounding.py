"""Whole numbers rounded up."""


def ceil_div(amount: int, size: int) -> int:
    """`amount / size` rounded up."""
    return -(-amount // size)
