"""An explorer in a real Jupyter kernel: what a front end gets is what `compute` returns."""

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel

from attn_lib.explorers import AttentionOnText, SparsePatterns
from attn_lib.explorers._pack import decode, encode

TIMEOUT = 60

# What ipykernel and its event loop warn about is theirs to mend.
pytestmark = pytest.mark.filterwarnings("default")


class Front:
    """The least that a notebook's front end does."""

    def __init__(self, client: Any) -> None:
        self.client = client

    def run(self, code: str) -> list[dict[str, Any]]:
        """Run a cell and return everything that the kernel published for it."""
        return self._collect(self.client.execute(code))

    def send(self, comm: str, data: dict[str, Any]) -> list[dict[str, Any]]:
        """Send a message on a comm and return everything that was published in answer."""
        message = self.client.session.msg("comm_msg", {"comm_id": comm, "data": data})
        self.client.shell_channel.send(message)
        return self._collect(message["header"]["msg_id"])

    def _collect(self, parent: str) -> list[dict[str, Any]]:
        found = []
        end = time.monotonic() + TIMEOUT
        while time.monotonic() < end:
            message = self.client.get_iopub_msg(timeout=TIMEOUT)
            if message["parent_header"].get("msg_id") != parent:
                continue
            assert message["msg_type"] != "error", "\n".join(message["content"]["traceback"])
            if message["msg_type"] == "status" and message["content"]["execution_state"] == "idle":
                return found
            found.append(message)
        raise TimeoutError("the kernel did not become idle")


@pytest.fixture(scope="module")
def kernel() -> Iterator[Callable[[bool], Front]]:
    """Return a function that starts a kernel, in the book's environment or outside it."""
    started = []

    def start(book: bool) -> Front:
        env = {name: value for name, value in os.environ.items() if name != "ATTN_LIB_BOOK"}
        if book:
            env["ATTN_LIB_BOOK"] = "1"
        manager, client = start_new_kernel(kernel_name="python3", env=env, startup_timeout=TIMEOUT)
        started.append((manager, client))
        return Front(client)

    yield start
    for manager, client in started:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def front(kernel: Callable[[bool], Front]) -> Front:
    return kernel(False)


def opened(messages: list[dict[str, Any]], name: str) -> tuple[str, dict[str, Any]]:
    """Return the comm's id and the state of the explorer that these messages opened."""
    for message in messages:
        if message["msg_type"] == "comm_open":
            state = message["content"]["data"]["state"]
            if state.get("_spec", {}).get("spec", {}).get("name") == name:
                return message["content"]["comm_id"], state
    raise AssertionError(f"no comm was opened for {name}")


@pytest.mark.parametrize(
    ("explorer", "controls"),
    [
        (SparsePatterns, {"pattern": "fixed", "stride": 37, "summary": 3, "route": "any"}),
        (AttentionOnText, {"layer": 3, "head": 7, "temperature": 0.37, "causal": True}),
    ],
)
def test_a_frame_off_the_grid_is_what_compute_returns(
    front: Front, explorer: Any, controls: dict[str, Any], record_property: Callable
) -> None:
    name = explorer.__name__
    messages = front.run(f"from attn_lib.explorers import {name}\nw = {name}()\nw")
    comm, state = opened(messages, name)
    shown = [m for m in messages if m["msg_type"] in ("execute_result", "display_data")]
    assert shown[0]["content"]["data"]["application/vnd.jupyter.widget-view+json"]["model_id"]
    small = {key: value for key, value in state.items() if key not in ("_esm", "_css")}
    assert len(json.dumps(small)) < 7_400

    start = time.perf_counter()
    request = {"type": "frame", "id": "front:0", "controls": controls}
    answers = front.send(comm, {"method": "custom", "content": request})
    record_property("round_trip_ms", 1000 * (time.perf_counter() - start))
    [answer] = [m for m in answers if m["msg_type"] == "comm_msg"]
    content = answer["content"]["data"]["content"]
    assert content["id"] == "front:0"
    frame = explorer.compute(**controls)
    assert [array[0] for array in content["arrays"]] == list(explorer.codings)
    for (key, coding, shape), buffer in zip(content["arrays"], answer["buffers"], strict=True):
        expected = decode(encode(frame[key], coding), coding, frame[key].shape)
        np.testing.assert_array_equal(decode(bytes(buffer), coding, tuple(shape)), expected)


def test_a_bad_request_is_answered_with_its_error(front: Front) -> None:
    comm, _ = opened(
        front.run("from attn_lib.explorers import SparsePatterns\nw = SparsePatterns()"),
        "SparsePatterns",
    )
    request = {"type": "frame", "id": 1, "controls": {"stride": 0}}
    answers = front.send(comm, {"method": "custom", "content": request})
    [answer] = [m for m in answers if m["msg_type"] == "comm_msg"]
    assert answer["content"]["data"]["content"]["error"] == "stride must be from 1 to 128, got 0"


def test_a_moved_control_reaches_python_and_its_observers(front: Front) -> None:
    comm, _ = opened(
        front.run(
            "from attn_lib.explorers import SparsePatterns\nw = SparsePatterns()\nseen = []\n"
            "w.observe(lambda change: seen.append(change['new']), 'stride')"
        ),
        "SparsePatterns",
    )
    front.send(comm, {"method": "update", "state": {"stride": 13}, "buffer_paths": []})
    said = front.run("print(w.stride, seen)")
    assert [m["content"]["text"] for m in said if m["msg_type"] == "stream"] == ["13 [13]\n"]


def test_in_the_book_the_kernel_opens_no_comm(kernel: Callable[[bool], Front]) -> None:
    messages = kernel(True).run("from attn_lib.explorers import SparsePatterns\nSparsePatterns()")
    assert [m["msg_type"] for m in messages if m["msg_type"].startswith("comm")] == []
    [shown] = [m for m in messages if m["msg_type"] == "execute_result"]
    assert set(shown["content"]["data"]) == {"text/html", "image/svg+xml", "text/plain"}
