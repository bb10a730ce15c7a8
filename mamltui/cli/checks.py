"""``mamltui verify`` and ``mamltui doctor``: can this machine be trusted, and what does it have."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from mamltui import __version__
from mamltui.cli.options import Device, DeviceName, RunsDir
from mamltui.cli.output import narrate, nearest_existing, why_not_writable
from mamltui.errors import ExitCode, RunError, UsageError
from mamltui.identity import MISSING, package_version
from mamltui.processors import usable_processors

PACKAGES = ("torch", "torchvision", "numpy", "pydantic", "rich", "safetensors", "typer")
CLUSTERS = (("ray", "ray", "Ray"), ("submitit", "slurm", "submitit, for Slurm"))
"""Packages, the extras of mamltui that install them, and what people call them."""
GIB = 2**30


def verify(
    profile: Annotated[
        str | None,
        typer.Argument(
            metavar="PROFILE",
            help="Whose network is checked: a file or a packaged profile; else a small Conv-4.",
        ),
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the profile."),
    ] = None,
    device: Device = DeviceName.auto,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder to look in for the profile's data first."),
    ] = None,
) -> None:
    """Check on this machine that second-order meta-gradients are right; exit code 1 if not.

    Each check compares the engine with another way to the same number: the paper's algorithm done
    plainly in float64, finite differences. The relative difference stands beside what rounding
    allows.
    """
    from mamltui.maml.verify import run_verification
    from mamltui.training import resolve_device

    where = resolve_device(device.value)
    network = None
    if profile is not None:
        from mamltui.data.banks import Banks
        from mamltui.learner import plain_network
        from mamltui.profiles import load_profile

        asked = load_profile(profile, overrides or [])
        network = plain_network(asked, Banks(data_dir).bank(asked.data, narrate))
    try:
        report = run_verification(where, narrate, network)
    except (RuntimeError, TypeError, ValueError) as error:
        if network is None:
            raise
        raise UsageError(
            f"{network.describe()} cannot be computed in float64: {error}",
            hint="Make what its forward pass constructs of the type of its input: like=images.",
        ) from error
    width = max(len(check.name) for check in report.checks)
    for check in report.checks:
        verdict = "right" if check.passed else "WRONG"
        typer.echo(
            f"{check.name:<{width}}  off by {check.relative_difference:.1e}, "
            f"allowed {check.tolerance:.0e}  {verdict}"
        )
    typer.echo(report.sentence)
    if report.vmap is not None:
        typer.echo(report.vmap_sentence)
    if not report.trusted:
        raise typer.Exit(ExitCode.FAILURE)


def doctor(
    runs_dir: RunsDir = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder to look in for Omniglot or CIFAR-100 first."),
    ] = None,
    clean: Annotated[
        bool, typer.Option("--clean", help="Delete what killed processes left, and say what.")
    ] = False,
) -> None:
    """Show what mamltui finds on this machine; exit code 3 when it cannot keep runs here."""
    from mamltui.runs import runs_root

    if clean:
        _clean(runs_dir)
        return

    out = runs_root(runs_dir)
    problem = why_not_writable(out)
    rows: list[tuple[str, str]] = [
        ("mamltui", __version__),
        ("python", f"{platform.python_version()} ({sys.executable})"),
        ("system", platform.platform()),
        ("packages", ", ".join(f"{name} {package_version(name)}" for name in PACKAGES)),
        *_devices(),
        ("kernels", _kernels()),
        ("processes", _processes()),
        ("clusters", _clusters()),
        ("memory", _memory()),
        *_data(data_dir),
        ("runs folder", f"{out.absolute()}, {problem or f'writable, {_free_disk(out)} free'}"),
        ("left over", _left_over(out)),
        ("terminal", _terminal()),
    ]
    for label, value in rows:
        typer.echo(f"{label:<14}{value}")
    if problem:
        raise typer.Exit(ExitCode.UNAVAILABLE)


def _clean(runs_dir: Path | None) -> None:
    """Delete leftovers, and say of each what and how much; an error only after all were tried."""
    from mamltui.runs.removal import find_leftovers
    from mamltui.text import visible

    removed, failures = [], list[RunError]()
    for leftover in find_leftovers(runs_dir):
        try:
            leftover.delete()
        except RunError as error:
            failures.append(error)
            continue
        removed.append(leftover)
        typer.echo(f"deleted {visible(str(leftover.path))}, {_size(leftover.bytes)}")
    total = _size(sum(leftover.bytes for leftover in removed))
    typer.echo(f"{_things(len(removed))} deleted, {total}" if removed else "nothing was left over")
    if failures:
        raise failures[0]


def _left_over(runs: Path) -> str:
    """What killed processes left that nobody needs."""
    from mamltui.runs.removal import find_leftovers

    try:
        leftovers = find_leftovers(runs)
    except RunError:  # which the runs folder's own line says
        return "unknown"
    if not leftovers:
        return "nothing by killed processes"
    total = _size(sum(leftover.bytes for leftover in leftovers))
    things = _things(len(leftovers))
    return f"{things} by killed processes, {total}: mamltui doctor --clean deletes them"


def _things(count: int) -> str:
    return "1 file or folder" if count == 1 else f"{count} files and folders"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


def _devices() -> Iterator[tuple[str, str]]:
    import torch

    count = os.cpu_count() or 1
    usable = usable_processors()
    share = f", {usable} of them usable here" if usable < count else ""
    yield "cpu", f"{count} cores{share}, torch uses {torch.get_num_threads()} threads"
    if not torch.cuda.is_available():
        reason = "torch was built without it" if torch.version.cuda is None else "no device found"
        yield "cuda", f"not available: {reason}"
        return
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        yield (
            "cuda",
            f"{torch.cuda.get_device_name(index)}, {free / GIB:.1f} of {total / GIB:.1f} GiB free, "
            f"CUDA {torch.version.cuda}",
        )


def _kernels() -> str:
    """Whether the fastest way to train on a processor is open."""
    import torch

    from mamltui.maml.inner import InnerLoop
    from mamltui.maml.network import NetworkSpec
    from mamltui.maml.strategies import Case, must_compile, why_not

    case = Case(NetworkSpec(way=5), InnerLoop(1, 0.4), torch.device("cpu"))
    reason = why_not("native", case)
    if reason is not None:
        return f"none, a CPU trains 2 to 4 times slower: {reason}"
    if must_compile(case):
        return "not compiled yet: the first training does it, once, in some seconds"
    return "compiled for this processor"


def _processes() -> str:
    """Whether one training can be shared among several processes."""
    from torch import distributed

    if not distributed.is_available():
        return "one alone: torch was built without torch.distributed"
    backends = {
        "gloo": distributed.is_gloo_available(),
        "NCCL": distributed.is_nccl_available(),
    }
    available = ", ".join(name for name, is_there in backends.items() if is_there)
    return f"torchrun shares one training among several ({available or 'no backend'})"


def _clusters() -> str:
    """Where else the trainings of a study can run."""
    clusters = []
    for package, extra, name in CLUSTERS:
        version = package_version(package)
        if version == MISSING:
            version = f"not installed (pip install 'mamltui[{extra}]')"
        clusters.append(f"{name}: {version}")
    return "; ".join(clusters)


def _memory() -> str:
    try:
        page, total = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
        free = _available_memory() or page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown on this system"
    return f"{free / GIB:.1f} of {page * total / GIB:.1f} GiB free"


def _available_memory() -> int | None:
    """Linux's own estimate, in bytes, which counts the caches that it would give up."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if "MemAvailable" in line), None)


def _data(data_dir: Path | None) -> Iterator[tuple[str, str]]:
    from mamltui.caching import cache_folder
    from mamltui.data.cifar_find import find_cifar
    from mamltui.data.omniglot_find import search

    folder = cache_folder()
    yield "cache folder", f"{folder}{'' if folder.is_dir() else ' (made when needed)'}"
    omniglot, lacks = search(data_dir)
    if omniglot:
        yield "omniglot", f"found through {omniglot.origin}: {omniglot.source}"
    else:
        yield "omniglot", "not found; `mamltui data fetch` downloads it. Looked in:"
        for lack in lacks:
            yield "", lack
    cifar = find_cifar(data_dir)
    if cifar:
        yield "cifar-100", f"found through {cifar.origin}: {cifar.source}"
    else:
        yield "cifar-100", "not found; `mamltui data fetch cifar-fs` downloads it"


def _free_disk(folder: Path) -> str:
    return f"{shutil.disk_usage(nearest_existing(folder)).free / GIB:.1f} GiB"


def _terminal() -> str:
    size = shutil.get_terminal_size()
    kind = os.environ.get("TERM", "not set")
    color = ", NO_COLOR" if os.environ.get("NO_COLOR") else ""
    return (
        f"TERM {kind}, {size.columns}x{size.lines}, {sys.stdout.encoding}{color}"
        if sys.stderr.isatty()
        else "no (plain lines instead of the live display)"
    )
