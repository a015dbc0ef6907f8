"""One server for all tests that leave it as they found it."""

from collections.abc import Iterator

import pytest

from tests.server.scripted_server import Server, scripted_server


@pytest.fixture(scope="package")
def server() -> Iterator[Server]:
    with scripted_server() as running:
        yield running
