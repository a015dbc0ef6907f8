"""Every variant of the kernels that was built here and that this processor can run."""

import pytest
import torch

from headway.kernels.library import VARIANTS, Kernels, load_variant, path_of, processor_flags


@pytest.fixture(scope="session", params=VARIANTS)
def kernels(request: pytest.FixtureRequest) -> Kernels:
    if path_of(request.param) is None:
        pytest.skip(f"{request.param} was not built: no compiler when Headway was installed")
    if not VARIANTS[request.param] <= processor_flags():
        pytest.skip(f"this processor cannot run {request.param}")
    return load_variant(request.param)


@pytest.fixture
def threads_restored():
    """As many threads as before, whatever the test sets."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
