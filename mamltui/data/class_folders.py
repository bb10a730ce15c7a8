"""Finding the images in folders of class folders, before any of them is opened."""

from __future__ import annotations

import csv
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mamltui.data.groups import part_of
from mamltui.data.pictures import FOREIGN, SUFFIXES
from mamltui.data.progress import Progress
from mamltui.errors import DataError
from mamltui.text import visible
from mamltui.untrusted import read_file

LEFTOVERS = frozenset(
    {
        *("__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "$recycle.bin"),
        *("lost+found", "thumbs.db", "desktop.ini", "system volume information"),
    }
)
"""What systems and programs leave in folders, in small letters; passed over like hidden files."""
SPLITS_FILE = "splits.csv"
"""In the folder of the classes, says which are for training, validation and test."""
LARGEST_SPLITS = 10_000_000
"""Bytes."""
NAMED = 10
"""Files or classes named in a message; the others are counted."""


@dataclass(frozen=True)
class ImageClass:
    name: str
    files: list[Path]
    foreign: list[Path]
    """Images of a kind that is not read."""


def find_classes(path: Path, say: Progress) -> list[ImageClass]:
    """The classes in the order of their names."""
    where = visible(str(path))
    try:
        if not path.is_dir():
            relative = "" if path.is_absolute() else f": {visible(str(path.absolute()))}"
            raise DataError(
                "is not a folder" if path.exists() else f"there is no such folder{relative}",
                where=where,
                hint="data.path names the folder that holds the images"
                + (", seen from the folder in which the command is started" if relative else "")
                + "; if it was moved, give its new place with --data-path.",
            )
        classes = [image_class(path, folder) for folder in class_folders(path, path)]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=where) from error
    if not classes:
        raise DataError(
            "holds no class folders",
            where=where,
            hint=f"Put the images of each class in a folder of its own, e.g. {where}/cat/01.png",
        )
    classes = _merged(path, classes, say)
    classes = _parted(path, classes, say)
    _check_sizes(path, classes)
    foreign = Counter(file.suffix.lower() for each in classes for file in each.foreign)
    if foreign:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(foreign.items()))
        say(f"passed over, for they cannot be read here: {kinds}; convert them to PNG or JPEG")
    return sorted(classes, key=lambda each: each.name.split("/"))


def without_files(
    path: Path, classes: Sequence[ImageClass], files: frozenset[Path]
) -> list[ImageClass]:
    """The classes without some of their files.

    Raises:
        DataError: classes have fewer than two images left.
    """
    left = [
        replace(each, files=[file for file in each.files if file not in files]) for each in classes
    ]
    _check_sizes(path, left)
    return left


def image_class(root: Path, folder: Path) -> ImageClass:
    files = [entry for entry in entries(root, folder) if not entry.is_dir()]
    name = unicodedata.normalize("NFC", folder.relative_to(root).as_posix())
    return ImageClass(
        name,
        # is_file is false for a pipe, which would block.
        [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()],
        [file for file in files if file.suffix.lower() in FOREIGN],
    )


def _merged(path: Path, classes: list[ImageClass], say: Progress) -> list[ImageClass]:
    """Classes that lie in several parts of a split are one, if the parts hold the same."""
    parts: dict[str, dict[str, ImageClass]] = {}
    for each in classes:
        if part_of(each.name):
            group, _, own = each.name.partition("/")
            parts.setdefault(group, {})[own] = each
    parts_with = Counter(own for names in parts.values() for own in names)
    shared = sorted(own for own, count in parts_with.items() if count > 1)
    if not shared:
        return classes
    groups = ", ".join(parts)
    if any(count < len(parts) for count in parts_with.values()):
        raise DataError(
            f"{listed(shared)}: classes of the same name lie in more than one of {groups}",
            where=visible(str(path)),
            hint="Few-shot learning is tested on classes that were not trained on: put each class "
            "into one part, or name classes that differ by different names.",
        )
    say(
        f"{groups} of {visible(str(path))} hold classes of the same name ({listed(shared)}): the "
        "images of each are put together, and the classes are split anew"
    )
    merged = [
        ImageClass(
            own,
            [file for names in parts.values() for file in names[own].files],
            [file for names in parts.values() for file in names[own].foreign],
        )
        for own in shared
    ]
    return [*(each for each in classes if not part_of(each.name)), *merged]


def _parted(path: Path, classes: list[ImageClass], say: Progress) -> list[ImageClass]:
    """With the groups that ``splits.csv`` puts the classes into, if the folder has one."""
    file = path / SPLITS_FILE
    if not file.is_file():
        return classes
    where = visible(str(file))
    hint = "A line is CLASS,PART, as in: cat,train. Parts: train, val, test."
    try:
        text = read_file(file, LARGEST_SPLITS).decode("utf-8-sig")
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot be read: {error}", where=where, hint=hint) from error
    if rows and [cell.strip().lower() for cell in rows[0]] == ["class", "split"]:
        rows = rows[1:]
    part_of_class: dict[str, str] = {}
    for row in rows:
        cells = [unicodedata.normalize("NFC", cell.strip()) for cell in row]
        part = part_of(f"{cells[-1]}/")
        if len(cells) != 2 or part is None:
            raise DataError(f"{listed([','.join(row)])}: no such line", where=where, hint=hint)
        if part_of_class.setdefault(cells[0], part) != part:
            raise DataError(f"{visible(cells[0])} is in two parts", where=where, hint=hint)
    names = {each.name for each in classes}
    unknown = [name for name in part_of_class if name not in names]
    unnamed = sorted(names - set(part_of_class))
    if unknown:
        raise DataError(f"there are no class folders {listed(unknown)}", where=where)
    if unnamed:
        raise DataError(f"says nothing of {listed(unnamed)}", where=where, hint=hint)
    say(f"the classes are parted by {where}")
    return [replace(each, name=f"{part_of_class[each.name]}/{each.name}") for each in classes]


def _check_sizes(path: Path, classes: Sequence[ImageClass]) -> None:
    small = [each for each in classes if len(each.files) < 2]
    if not small:
        return
    words = []
    for each in small:
        content = "one image" if each.files else "no images"
        if each.foreign:
            suffixes = " and ".join(sorted({file.suffix for file in each.foreign}))
            content += f", and {len(each.foreign)} {suffixes} that cannot be read here"
        words.append((visible(each.name), content))
    rule = "it takes at least two, one to learn from and one to ask"
    hint = f"Images end in {' '.join(sorted(SUFFIXES))}"
    if len(words) == 1:
        name, content = words[0]
        raise DataError(f"the class has {content}; {rule}", where=f"{path}/{name}", hint=hint)
    named = listed([f"{name} ({content})" for name, content in words])
    raise DataError(
        f"{len(words)} classes have fewer than two images: {named}; {rule}",
        where=visible(str(path)),
        hint=hint,
    )


def class_folders(root: Path, path: Path) -> Iterator[Path]:
    """The folders under ``path`` that hold no other folder, at most two levels down."""
    for folder in _folders_in(root, path):
        inside = _folders_in(root, folder)
        if not inside:
            yield folder
        for nested in inside:
            deeper = _folders_in(root, nested)
            if deeper:
                raise DataError(
                    "lies too deep: classes are folder/class or folder/group/class",
                    where=visible(str(deeper[0])),
                )
            yield nested
        if inside and image_class(root, folder).files:
            raise DataError(
                "holds both images and folders, so it is neither a class nor a group of classes",
                where=visible(str(folder)),
            )


def _folders_in(root: Path, path: Path) -> list[Path]:
    return [entry for entry in entries(root, path) if entry.is_dir()]


def entries(root: Path, path: Path) -> list[Path]:
    """What lies in a folder, ordered by name on every system alike.

    Raises:
        DataError: a link leads nowhere, out of ``root``, or to a folder that holds it.
    """
    visible_entries = [
        entry
        for entry in path.iterdir()
        if not entry.name.startswith(".") and entry.name.lower() not in LEFTOVERS
    ]
    for entry in visible_entries:
        if entry.is_symlink():
            _check_link(root, entry)
    return sorted(visible_entries, key=lambda entry: unicodedata.normalize("NFC", entry.name))


def _check_link(root: Path, link: Path) -> None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # Python before 3.13 has an error of its own for a loop
        fault = "is a link that leads nowhere"
    else:
        inside = target.is_relative_to(root.resolve())
        if inside and not link.parent.resolve().is_relative_to(target):
            return
        fault = (
            "is a link to a folder that holds the link itself"
            if inside
            else f"is a link out of the data folder, to {visible(str(target))}"
        )
    raise DataError(
        fault,
        where=visible(str(link)),
        hint="Take the link away, or put there what it leads to.",
    )


def inside(root: Path | None, file: Path) -> str:
    """``file`` for a message, as seen from ``root``."""
    return visible((file if root is None else file.relative_to(root)).as_posix())


def listed(names: Sequence[str], most: int = NAMED) -> str:
    """Names for a message, the first few."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return visible(", ".join(names[:most])) + more
