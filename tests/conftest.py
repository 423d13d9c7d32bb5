"""Settings that every test shares: one thread, repeatable examples, fresh generators."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    parser.addoption(
        "--report", metavar="FILE", help="where to say what each test came to, in JSON"
    )
    parser.addoption(
        "--add", action="store_true", help="add to the report what it lacks, as the second part"
    )


class Report:
    """What each test came to, how long it took and what it recorded, in one file."""

    def __init__(self, path: Path, adds: bool) -> None:
        self.path = path
        self.earlier = json.loads(path.read_text("utf-8")) if adds else {"minutes": 0, "tests": {}}
        self.began = time.time()
        self.tests: dict[str, dict[str, Any]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of one test."""
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed", "seconds": 0.0})
        test["seconds"] = round(test["seconds"] + report.duration, 1)
        if report.outcome != "passed":
            test["outcome"] = report.outcome
        test.update(report.user_properties)

    def pytest_sessionfinish(self) -> None:
        """Write the file."""
        from benchmarks import record

        document = {
            "date": time.strftime("%Y-%m-%d", time.gmtime(self.began)),
            "minutes": round(self.earlier["minutes"] + (time.time() - self.began) / 60, 1),
            "machine": record.machine(torch.get_num_threads()),
            "tests": dict(sorted((self.earlier["tests"] | self.tests).items())),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")


def pytest_configure(config: pytest.Config) -> None:
    """Let the process that gathers what the others found report it."""
    path = config.getoption("--report")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Report(Path(path), config.getoption("--add")))


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
