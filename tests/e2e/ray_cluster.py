"""Ray clusters of several nodes on one machine, of which no process is left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

STORE_BYTES = 80 * 2**20
SOON_DEAD = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 2000,
    "health_check_failure_threshold": 4,
}
"""A node that answers nothing is given up after seconds, not half a minute."""
SECONDS = 20.0


@contextmanager
def cluster(cpus: int = 0) -> Iterator[Any]:
    """A head with so many CPUs; ``add_node`` of what it gives adds others."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(
        initialize_head=True,
        head_node_args={
            "num_cpus": cpus,
            "object_store_memory": STORE_BYTES,
            "include_dashboard": False,
            "_system_config": SOON_DEAD,
        },
    )
    session = str(made.head_node.get_session_dir_path())
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        expect_no_process(session)


def add_node(made: Any, cpus: int = 1, **variables: str) -> Any:
    """A node; ``variables`` are of its environment."""
    return made.add_node(
        num_cpus=cpus, object_store_memory=STORE_BYTES, env_vars=variables or None, wait=False
    )


def expect_no_process(word: str = "", pid: int | None = None) -> None:
    """Wait until no process has ``word`` in its command; those that stay are killed, and named.

    Args:
        pid: this one alone.
    """
    limit = time.monotonic() + SECONDS
    while (left := _processes(word, pid)) and time.monotonic() < limit:
        time.sleep(0.05)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    assert not left, left


def _processes(word: str, pid: int | None) -> dict[int, str]:
    commands = {}
    for path in Path("/proc").glob(f"{pid or '[0-9]*'}/cmdline"):
        with suppress(OSError):
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (path.parent / "stat").read_text().rpartition(")")[2].split()[0]
            if word in command and state != "Z":
                commands[int(path.parent.name)] = command
    return commands
