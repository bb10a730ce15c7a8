"""Which executor a command line means."""

from __future__ import annotations

from mamltui.errors import UsageError
from mamltui.studies.executors.executor import Executor, Wanted
from mamltui.studies.executors.local import LocalExecutor

EXECUTORS = ("local", "ray", "slurm")


def executor_named(name: str, wanted: Wanted) -> Executor:
    """The executor called ``name``.

    Raises:
        UsageError: there is no such executor, or it cannot do what is wanted.
        MamltuiError: it cannot be reached.
    """
    if name not in EXECUTORS:
        raise UsageError(f"cells cannot run on {name!r}", where="--on", hint=", ".join(EXECUTORS))
    if wanted.gpu_share is not None:
        if not 0 < wanted.gpu_share <= 1:
            raise UsageError(
                "a part of one GPU is above 0 and at most 1",
                where=f"--gpu-share {wanted.gpu_share:g}",
                hint="0.25 lets four trainings share each GPU.",
            )
        if wanted.device == "cpu":
            raise UsageError("--gpu-share and --device cpu exclude each other")
    for option, value, owner in (
        ("--address", wanted.address, "ray"),
        ("--node-dir", wanted.node_dir, "ray"),
        ("--slurm", wanted.slurm or None, "slurm"),
    ):
        if value is not None and name != owner:
            raise UsageError(f"{option} is of --on {owner} alone", where=f"--on {name}")
    if name == "slurm":
        from mamltui.studies.executors.slurm import SlurmExecutor

        return SlurmExecutor(wanted)
    if name == "ray":
        from mamltui.studies.executors.ray import RayExecutor

        return RayExecutor(wanted)
    return LocalExecutor(wanted.workers, wanted.threads, wanted.gpu_share)
