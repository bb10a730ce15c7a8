"""The drawings of the classes and of the query, and the folder of PNG files that keeps them."""

from __future__ import annotations

import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from mamltui.errors import MamltuiError
from mamltui.text import visible
from mamltui.tui.draw.ink import SIZE, Drawing, Ink

QUERY_FILE = "query.png"
"""Beside the class folders."""
MOST_DRAWINGS = 20
"""Of a class."""
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Slot(NamedTuple):
    """Room for one drawing."""

    label: int
    """The class; -1: the query."""
    number: int = 0
    """Among the drawings of the class."""

    @property
    def is_query(self) -> bool:
        return self.label < 0


QUERY = Slot(-1)


@dataclass
class DrawnClass:
    """What one class looks like."""

    name: str
    drawings: list[Drawing] = field(default_factory=lambda: [Drawing()])

    @property
    def inked(self) -> list[Ink]:
        """Of the drawings that are not blank."""
        return [drawing.ink for drawing in self.drawings if not drawing.is_blank]


class Drawings:
    """Classes with one drawing or a few each, and a query."""

    def __init__(self, classes: Sequence[DrawnClass], query: Drawing | None = None) -> None:
        self.classes = list(classes)
        self.query = query or Drawing()

    @classmethod
    def blank(cls, way: int) -> Drawings:
        """``way`` classes called A, B, C and on."""
        drawings = cls([])
        drawings.set_way(way)
        return drawings

    def set_way(self, way: int) -> None:
        """Have so many classes: more at the end, or without the last ones."""
        del self.classes[way:]
        names = {each.name for each in self.classes}
        free = (name for name in _names() if name not in names)
        while len(self.classes) < way:
            self.classes.append(DrawnClass(next(free)))

    def drawing(self, slot: Slot) -> Drawing:
        return self.query if slot.is_query else self.classes[slot.label].drawings[slot.number]

    def slots(self) -> list[Slot]:
        """Class by class, the query last."""
        return [
            *(
                Slot(label, number)
                for label, each in enumerate(self.classes)
                for number in range(len(each.drawings))
            ),
            QUERY,
        ]

    @property
    def is_blank(self) -> bool:
        return all(self.drawing(slot).is_blank for slot in self.slots())

    def name_problem(self, label: int, name: str) -> str:
        """Why a class cannot be called so; empty if it can: its name is a folder's."""
        from mamltui.data.class_folders import LEFTOVERS

        name = unicodedata.normalize("NFC", name.strip())
        if not name or name.startswith(".") or name.lower() in LEFTOVERS:
            return "a name that a folder may have, such as alpha"
        if not name.isprintable() or any(each in name for each in '/\\:*?"<>|') or len(name) > 60:
            return 'without / \\ : * ? " < > |, and of at most 60 characters'
        others = (each.name for index, each in enumerate(self.classes) if index != label)
        return "another class is called so" if name in others else ""

    def rename(self, label: int, name: str) -> None:
        self.classes[label].name = unicodedata.normalize("NFC", name.strip())


def _names() -> Iterator[str]:
    """A to Z, then A1 to Z1 and on."""
    number = 0
    while True:
        yield from (f"{letter}{number or ''}" for letter in LETTERS)
        number += 1


def save_drawings(drawings: Drawings, folder: Path) -> list[Path]:
    """Write what is drawn as black on white PNG files in a new folder.

    ``folder/A/1.png`` is the first drawing of class A, ``folder/query.png`` the query. Like those
    of Omniglot they have 105 pixels a side and one bit a pixel.

    Returns:
        The files.

    Raises:
        MamltuiError: nothing is drawn, the folder is there already, or it cannot be written.
    """
    if drawings.is_blank:
        raise MamltuiError("nothing is drawn yet", where=visible(str(folder)))
    files = {
        folder / each.name / f"{number}.png": ink
        for each in drawings.classes
        for number, ink in enumerate(each.inked, 1)
    }
    if not drawings.query.is_blank:
        files[folder / QUERY_FILE] = drawings.query.ink
    try:
        folder.mkdir()
    except OSError as error:
        raise _cannot_write(error, folder) from error
    try:
        for file, ink in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            _write(ink, file)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise _cannot_write(error, folder) from error
    return list(files)


def _write(ink: Ink, file: Path) -> None:
    from PIL import Image

    Image.fromarray(~ink).save(file)


def _cannot_write(error: OSError, folder: Path) -> MamltuiError:
    return MamltuiError(f"cannot be written: {error.strerror}", where=visible(str(folder)))


def load_drawings(folder: Path) -> Drawings:
    """The images of a folder of class folders as drawings, and ``query.png`` if it is there.

    Images of any kind and size are parted into ink and paper and brought to 105 pixels a side;
    those of :func:`save_drawings` stay as they are.

    Raises:
        DataError: no class folders, fewer than two, or images that cannot be read.
        MamltuiError: a class has too many images.
    """
    from mamltui.data.own_images import (
        OwnImage,
        Preparation,
        find_support,
        read_own_images,
    )

    names, support = find_support(folder)
    query = [OwnImage(folder / QUERY_FILE, None)] if (folder / QUERY_FILE).is_file() else []
    counts = [sum(image.label == label for image in support) for label in range(len(names))]
    if max(counts) > MOST_DRAWINGS:
        name = visible(names[counts.index(max(counts))])
        raise MamltuiError(
            f"{max(counts)} images in {name} are more than the {MOST_DRAWINGS} that a class takes",
            where=visible(str(folder)),
            hint="mamltui adapt takes any number: see its --support.",
        )
    preparation = Preparation(SIZE, 1, "ink", is_binary=True)
    images = read_own_images(names, support, query, preparation)
    classes = [DrawnClass(name, []) for name in names]
    for image, pixels in zip(support, images.support_x.numpy(), strict=True):
        assert image.label is not None
        classes[image.label].drawings.append(Drawing(pixels[0] > 0.5))
    asked = Drawing(images.query_x[0, 0].numpy() > 0.5) if query else None
    return Drawings(classes, asked)
