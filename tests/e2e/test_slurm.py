"""Studies on Slurm: its jobs run by submitit on this machine, and what would be submitted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from mamltui.errors import MamltuiError
from mamltui.studies.executors import slurm as module
from mamltui.studies.executors.choosing import executor_named
from mamltui.studies.executors.executor import Wanted
from mamltui.studies.executors.slurm import SlurmExecutor
from mamltui.studies.queue import Queue
from mamltui.studies.reading import Changes, load_study
from mamltui.studies.standing import Standing
from tests.e2e.studies import ancestors, make_study, results, work
from tests.studies.small import Here
from tests.training.small import assert_same_training

SACCT = """#!/bin/sh
echo 'JobID|State|NodeList'
echo '42_0|FAILED|n1'
echo '42_1|NODE_FAIL|n1'
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study, to type commands in."""
    return make_study(tmp_path, monkeypatch)


def test_a_preempted_job_saves_a_checkpoint_and_goes_on_where_it_was(folder: Path) -> None:
    preempted: list[int] = []

    def watch(_: Queue, standings: list[Standing]) -> None:
        (standing,) = standings
        if not preempted and standing.state == "running" and standing.iteration >= 10:
            assert standing.info is not None
            job = ancestors(standing.info.pid)[0]
            os.kill(job, signal.SIGUSR2)  # as Slurm does, also to all processes of the job
            os.kill(standing.info.pid, signal.SIGUSR2)
            preempted.append(standing.iteration)

    told: list[str] = []
    (standing,) = work(SlurmExecutor(Wanted(), cluster="local"), folder / "runs", watch, told)
    assert preempted and told == []
    assert standing.state == "done" and standing.run is not None and standing.info is not None
    (here,) = work(Here(), folder / "here", lambda *_: None, [])
    assert here.run is not None and here.info is not None
    assert standing.info.sitting == here.info.sitting + 1
    assert_same_training(standing.run, here.run)
    assert results(standing.run) == results(here.run)
    (log,) = (folder / "runs" / "studies" / "study" / "slurm").glob("*_log.out")
    assert "Requeued job" in log.read_text()


def test_a_node_with_other_code_trains_nothing_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "sitecustomize.py").write_text("import mamltui; mamltui.__version__ = '99.0'")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))
    at = SlurmExecutor(Wanted(), cluster="local")
    (standing,) = work(at, folder / "runs", lambda *_: None, [])
    assert standing.state == "failed" and standing.run is None
    assert "mamltui 0" in standing.why and "but 99.0" in standing.why


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Slurm's commands, which write down what they are asked; the folder of what they wrote."""
    folder.mkdir()
    texts = {
        "sbatch": f'#!/bin/sh\ncat "$1" >> {folder}/submitted\necho Submitted batch job 42\n',
        "sacct": SACCT,
        "srun": "#!/bin/sh\n",
        "scancel": f'#!/bin/sh\necho "$@" >> {folder}/cancelled\n',
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_cells_are_submitted_as_one_array_and_lost_jobs_once_more(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = commands(folder / "bin", monkeypatch)
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    settings = ("partition=gpu", "time=120", "reservation=class")
    wanted = Wanted(threads=3, device="cuda", slurm=settings)
    told: list[str] = []
    at = executor_named("slurm", wanted)
    assert at.options() == ["--on", "slurm", *(w for text in settings for w in ("--slurm", text))]
    queue = Queue(
        load_study("study.toml", Changes(seeds=2)), at, root=folder / "runs", notify=told.append
    )
    queue.step()
    script = (written / "submitted").read_text()
    for line in (
        "--array=0-1%2",
        "--cpus-per-task=3",
        "--gpus-per-node=1",
        "--partition=gpu",
        "--reservation=class",
        "--signal=USR2@90",
        "--time=120",
    ):
        assert f"#SBATCH {line}\n" in script
    standings, is_over = queue.step()
    assert not is_over
    assert [each.state for each in standings] == ["failed", "queued"]
    assert "Slurm ended its job 42_0 as FAILED; it left no result: is " in standings[0].why
    assert f"{folder}/runs/studies/study shared with its node?" in standings[0].why
    assert told[-1] == ("tiny-seed1: Slurm ended its job 42_1 as NODE_FAIL; it is gone on with")
    again = (written / "submitted").read_text().removeprefix(script)
    assert "#SBATCH --signal" in again and "--array" not in again
    queue.stop()
    queue.step()
    assert (written / "cancelled").read_text() == "42\n"
    queue.close()


def test_what_slurm_refuses_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = commands(folder / "bin", monkeypatch)
    (scripts / "sbatch").write_text(
        "#!/bin/sh\necho 'invalid partition specified: x' >&2\nexit 1\n"
    )
    queue = Queue(load_study("study.toml"), SlurmExecutor(Wanted()), root=folder / "runs")
    with pytest.raises(MamltuiError, match=r"Slurm takes no job: .*invalid partition specified: x"):
        queue.step()
    queue.close()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(), "this machine has no sbatch and no srun and no sacct"),
        (Wanted(slurm=("partition",)), "a setting of Slurm is KEY=VALUE"),
        (Wanted(slurm=("time=1:00",)), "the time of a job is in minutes"),
        (Wanted(gpu_share=0.5), "Slurm shares out whole GPUs"),
    ],
)
def test_what_slurm_cannot_do_is_told(
    wanted: Wanted, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if wanted.slurm:
        monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    with pytest.raises(MamltuiError, match=message):
        SlurmExecutor(wanted)


def test_without_submitit_the_command_to_install_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(MamltuiError, match=r"not installed\npip install 'mamltui\[slurm\]'"):
        SlurmExecutor(Wanted())
