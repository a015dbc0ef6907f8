"""The order of all tests."""

import pytest

minutes_s = 300  # whoever may take longer says so


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with tests that take minutes come first, so that no core is left waiting for them at the end."""
    marks = ((item.path, item.get_closest_marker("timeout")) for item in items)
    long = {path for path, mark in marks if mark is not None and mark.args[0] > minutes_s}
    items.sort(key=lambda item: item.path not in long)
