"""``mamltui import``: weights that were trained elsewhere, as a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mamltui.cli.options import Device, DeviceName, RunsDir
from mamltui.cli.output import narrate


def import_file(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A state dict: safetensors, or one of torch.save."),
    ],
    profile: Annotated[
        str,
        typer.Option(
            metavar="PROFILE",
            help="Of what tasks, and how to adapt: a file or the name of a packaged profile.",
        ),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as inner.alpha=0.5."),
    ] = None,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What the new run is called, besides its folder.")
    ] = "",
    device: Device = DeviceName.auto,
    runs_dir: RunsDir = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A folder to look in for the profile's data first."),
    ] = None,
) -> None:
    """Make a run of weights that another MAML repository saved; then mamltui eval RUN.

    Known by the names of their tensors: learn2learn's OmniglotCNN, CNN4 and OmniglotFC, Torchmeta's
    MetaConvModel, the Learner of dragen1860/MAML-Pytorch, and mamltui's own. For any other network
    name its class: --set network.module=package:Class. Images are prepared as the profile says, ink
    1 and paper 0.
    """
    from mamltui.data.banks import Banks
    from mamltui.profiles import load_profile
    from mamltui.training import resolve_device
    from mamltui.training.imported import import_weights

    where = resolve_device(device.value)
    run = import_weights(
        file,
        load_profile(profile, overrides or []),
        banks=Banks(data_dir),
        device=where,
        runs=runs_dir,
        title=name,
        say=narrate,
    )
    best = run.info().best
    assert best is not None
    steps = run.profile.inner.test_steps
    narrate(
        f"{best.score.full} on the validation classes after {steps} inner steps; images "
        "as the profile prepares them, ink 1 and paper 0; to weights that were trained on paper 1 "
        "they are negatives"
    )
    typer.echo(str(run.path))
