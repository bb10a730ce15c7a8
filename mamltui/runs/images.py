"""The images of a folder that a run was trained on, file by file: what has changed can be named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from mamltui.data.bank import ImageBank
from mamltui.runs.files import write_whole
from mamltui.text import visible
from mamltui.untrusted import Text, checked, parse_json, read_file

FILE = "images.json"
LARGEST = 100_000_000
"""Bytes of the file; an image has about fifty."""
LONGEST = 300
"""Characters of a name in a message."""
NAMED = 5
"""Files of each kind that are named; the others are counted."""


@dataclass(frozen=True)
class TrainedImages:
    """What ``images.json`` holds."""

    used: dict[Text, Text]
    """Of each file that was used, a hash of the image as it was prepared."""
    unused: tuple[Text, ...]
    """The other images of the folder."""

    @classmethod
    def of(cls, bank: ImageBank) -> TrainedImages:
        """Those of ``bank``, whose files are known."""
        pixels = bank.images.flatten(0, 1).contiguous().numpy()
        hashes = (blake2b(image.data, digest_size=8).hexdigest() for image in pixels)
        return cls(dict(zip(bank.files, hashes, strict=True)), bank.unused_files)


def write_images(run: Path, bank: ImageBank) -> None:
    """Write the list of the images into the folder of a run, if it is not there yet.

    Raises:
        RunError: it cannot be written.
    """
    if bank.files and not (run / FILE).exists():
        images = TrainedImages.of(bank)
        content = {"used": images.used, "unused": images.unused}
        write_whole(run / FILE, json.dumps(content, indent=0).encode() + b"\n")


def read_images(run: Path) -> TrainedImages | None:
    """The list in the folder of a run; None: there is none that can be read."""
    try:
        return checked(TrainedImages, parse_json(read_file(run / FILE, LARGEST)))
    except (OSError, ValueError):
        return None


def difference(run: Path, bank: ImageBank) -> str:
    """Which files of ``bank`` are not as in the training of the run, in words.

    Empty where that is not known: of other data sets, of runs by earlier versions, or if the list
    cannot be read.
    """
    before = read_images(run) if bank.files else None
    if before is None:
        return ""
    now = TrainedImages.of(bank)
    there_before, there_now = {*before.used, *before.unused}, {*now.used, *now.unused}
    both = [name for name in now.used if name in before.used]
    changed = [name for name in both if now.used[name] != before.used[name]]
    parts = []
    if len(changed) == len(both) > 1:
        # Whether there is colour, and whether the paper is bright, is decided for the whole folder.
        parts.append("all images that are in both are read otherwise, as to colour or paper")
    else:
        parts += _counted(changed, "changed")
    parts += _counted(sorted(there_before - there_now), "removed")
    parts += _counted(sorted(there_now - there_before), "added")
    others = len((before.used.keys() ^ now.used.keys()) & there_before & there_now)
    if others:
        parts.append(f"{others:,} others are used that were not, or the other way")
    return "; ".join(parts)


def _counted(names: Sequence[str], what: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    named = ", ".join(visible(name[:LONGEST]) for name in names[:NAMED])
    return [f"{len(names):,} {what}: {named}{more}"]
