"""One training by several processes, started as ``torchrun`` starts them, and by itself."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mamltui.runs import RunFolder
from tests.cli.tiny import RUN, make_place, only_run
from tests.e2e.process import COMMAND, SECONDS, run, wait_for
from tests.training.small import assert_same_training

FIVE_TASKS = ["--set", "meta.batch=5", "--set", "validation.interval=2"]
"""Which two, three or four processes cannot share alike."""
NATIVE = ["--set", "engine.strategy=native", "--set", "network.filters=16"]
ENDLESS = ["--set", "meta.iterations=1000000", "--set", "validation.interval=1000000"]

Processes = list["subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("place"))


@contextmanager
def started(
    size: int, arguments: list[str], place: Path, **changes: dict[int, str]
) -> Iterator[Processes]:
    """``size`` processes of one training, by rank; none is left behind."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(size):
        variables = {name: str(value) for name, value in common.items()} | {"RANK": str(rank)}
        variables |= {name: values[rank] for name, values in changes.items() if rank in values}
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=place,
            env=os.environ | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def together(size: int, arguments: list[str], place: Path) -> list[tuple[int, str, str]]:
    """The exit code and the output of each of them."""
    with started(size, arguments, place) as processes:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
        return [
            (process.returncode, *output)
            for process, output in zip(processes, outputs, strict=True)
        ]


def has_trained(place: Path) -> bool:
    """It is past an iteration."""
    folders = list((place / "runs").glob("tiny-*")) if (place / "runs").exists() else []
    return bool(folders) and bool(RunFolder(folders[0]).read_metrics().records)


def test_the_number_of_processes_changes_no_bit_and_may_change_on_the_way(tmp_path: Path) -> None:
    place, arguments = make_place(tmp_path), [*RUN, *FIVE_TASKS, *NATIVE]
    alone = run([*arguments, "--runs-dir", "alone", "--csv", "alone.csv"], place)
    assert alone.returncode == 0, alone.stderr
    for size, iterations in ((3, 2), (4, 4), (2, 6)):
        more = ["--resume", only_run(place).name] if (place / "runs").exists() else []
        more += ["--set", f"meta.iterations={iterations}", "--csv", "shared.csv"]
        results = together(size, [*arguments, *more], place)
        assert [code for code, _, _ in results] == [0] * size, results
        assert all(result == (0, "", "") for result in results[1:])
    assert_same_training(RunFolder(only_run(place)), RunFolder(next((place / "alone").iterdir())))
    results = [(place / name).read_text() for name in ("alone.csv", "shared.csv")]
    own, shared = (re.sub(r"tiny-[\w-]+", "RUN", text) for text in results)
    assert own == shared


GRAPHS = """
from pathlib import Path
from mamltui.maml import graphs, strategies

why_not, task_gradients = strategies.why_not, graphs.RecordedGradients.task_gradients

def here_too(strategy, case):
    return None if strategy == "graph" else why_not(strategy, case)

def noted(self, *arguments):
    import os
    Path(f"replayed-{os.environ['RANK']}").touch()
    return task_gradients(self, *arguments)

strategies.why_not = here_too
graphs.RecordedGradients.task_gradients = noted
"""
"""The strategy ``graph`` where there is no GPU: without graphs, but by the same way."""


def test_several_processes_replay_the_gradients_of_their_tasks(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    (place / "sitecustomize.py").write_text(GRAPHS)
    paths = os.pathsep.join([str(place), *filter(None, [os.environ.get("PYTHONPATH")])])
    # A task at a time, so that no bit depends on how they are shared out.
    arguments = [*RUN, *FIVE_TASKS, "--set", "engine.task_chunk=1"]
    alone = [*arguments, "--set", "engine.strategy=analytic", "--runs-dir", "alone"]
    assert run(alone, place).returncode == 0
    shared = [*arguments, "--set", "engine.strategy=graph"]
    with started(2, shared, place, PYTHONPATH=dict.fromkeys(range(2), paths)) as processes:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert {path.name for path in place.glob("replayed-*")} == {"replayed-0", "replayed-1"}
    folder = RunFolder(only_run(place))
    assert folder.info().strategy == "graph"
    assert_same_training(folder, RunFolder(next((place / "alone").iterdir())))


@pytest.mark.parametrize("rank", [0, 1])
def test_a_stop_of_any_process_saves_a_checkpoint_and_ends_all(tmp_path: Path, rank: int) -> None:
    place = make_place(tmp_path)
    with started(2, [*RUN, *ENDLESS], place) as processes:
        wait_for(lambda: has_trained(place), processes[0])
        processes[rank].send_signal(signal.SIGTERM)
        _, said = processes[0].communicate(timeout=SECONDS)
        processes[1].communicate(timeout=SECONDS)
    assert processes[0].returncode == 143
    assert processes[1].returncode == (143 if rank else 0)
    assert "Go on with: mamltui run tiny.toml" in said
    folder = RunFolder(only_run(place))
    info = folder.info()
    assert info.state == "interrupted"
    assert folder.load_checkpoint("last").iteration == info.iteration > 0


def test_a_process_that_dies_ends_the_training_with_a_checkpoint_to_go_on_from(
    tmp_path: Path,
) -> None:
    place = make_place(tmp_path)
    with started(3, [*RUN, *FIVE_TASKS, *ENDLESS], place) as processes:
        wait_for(lambda: has_trained(place), processes[0])
        processes[2].kill()
        _, said = processes[0].communicate(timeout=SECONDS)
        _, other = processes[1].communicate(timeout=SECONDS)
    assert [process.returncode for process in processes] == [1, 0, -signal.SIGKILL]
    assert f"rank 2 ({socket.gethostname()}, process {processes[2].pid}) is gone" in said
    assert "Go on with: mamltui run tiny.toml" in said
    assert "Traceback" not in said + other
    folder = RunFolder(only_run(place))
    assert folder.load_checkpoint("last").iteration == folder.info().iteration > 0


def test_processes_of_other_versions_do_not_begin(place: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sitecustomize.py").write_text("import mamltui; mamltui.__version__ = '99.0'")
    paths = os.pathsep.join([str(other), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [*RUN, "--runs-dir", str(tmp_path / "runs")]
    with started(2, arguments, place, PYTHONPATH={1: paths}) as processes:
        outputs = [process.communicate(timeout=SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [3, 3]
    assert "the processes of this training differ: mamltui" in outputs[0][1]
    assert "99.0" in outputs[0][1]
    assert "Install the same versions everywhere." in outputs[0][1]
    assert outputs[1] == ("", "")
    assert not (tmp_path / "runs").exists()


@pytest.mark.long
def test_torchrun_restarts_what_a_lost_process_ended_from_its_checkpoint(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--max-restarts", "1", "--nproc-per-node", "2", "-m", "mamltui", *RUN]
    command += ["--set", "meta.iterations=3000", "--set", "validation.interval=1000"]
    process = subprocess.Popen(command, cwd=place, stderr=subprocess.PIPE, text=True)
    wait_for(lambda: has_trained(place), process)
    children = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True
    )
    helper = int(children.stdout.split()[-1])
    os.kill(helper, signal.SIGKILL)
    _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, said
    assert "going on with tiny-" in said
    assert RunFolder(only_run(place)).info().state == "finished"
