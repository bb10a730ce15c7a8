"""Which place a command line means."""

from __future__ import annotations

from mamltui.errors import UsageError
from mamltui.studies.places.local import LocalPlace
from mamltui.studies.places.place import Place, Wanted

PLACES = ("local", "ray", "slurm")


def place_named(name: str, wanted: Wanted) -> Place:
    """The place called ``name``.

    Raises:
        UsageError: there is no such place, or it cannot do what is wanted.
        MamltuiError: it cannot be reached.
    """
    if name not in PLACES:
        raise UsageError(f"there is no place {name!r}", where="--on", hint=", ".join(PLACES))
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
        from mamltui.studies.places.slurm import SlurmPlace

        return SlurmPlace(wanted)
    if name == "ray":
        from mamltui.studies.places.ray import RayPlace

        return RayPlace(wanted)
    return LocalPlace(wanted.workers, wanted.threads, wanted.gpu_share)
