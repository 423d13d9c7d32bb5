"""Settings that every test shares: one thread, repeatable examples, fresh generators."""

from collections.abc import Callable

import hypothesis
import pytest
import torch

hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=40,
    print_blob=False,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

torch.set_num_threads(1)


@pytest.fixture
def generator() -> torch.Generator:
    """Return a generator in a state that is the same in every test."""
    return torch.Generator().manual_seed(20190423)


@pytest.fixture
def normal(generator: torch.Generator) -> Callable[..., torch.Tensor]:
    """Return a function that draws a float64 Gaussian tensor of the given shape."""

    def draw(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    return draw


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add where the layers' contract is tried, and whether the long tests run."""
    parser.addoption("--device", default="cpu", help="of the layers' contract: cpu or cuda")
    parser.addoption("--soak", action="store_true", help="run the tests that take long, alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep what is marked ``soak`` for ``--soak`` (``make soak``), and nothing else for it."""
    chosen: dict[bool, list[pytest.Item]] = {True: [], False: []}
    for item in items:
        chosen[item.get_closest_marker("soak") is not None].append(item)
    soak = bool(config.getoption("--soak"))
    items[:] = chosen[soak]
    config.hook.pytest_deselected(items=chosen[not soak])


@pytest.fixture
def device(request: pytest.FixtureRequest) -> torch.device:
    """Return the device that ``--device`` names."""
    return torch.device(request.config.getoption("--device"))
