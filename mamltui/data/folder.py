"""Any folder of class folders as a data set: one folder a class, one image file a drawing."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch

from mamltui.data.bank import ImageBank
from mamltui.data.cache import bank_hash, file_fingerprint, packed_folder, recall, remember
from mamltui.data.groups import part_of
from mamltui.data.pictures import FOREIGN, SUFFIXES, Picture, Pixels, UnreadableError, read_picture
from mamltui.data.progress import Progress, silent
from mamltui.errors import DataError
from mamltui.text import visible

LEFTOVERS = frozenset(
    {
        *("__macosx", "__pycache__", "@eadir", "@recycle", "#recycle", "$recycle.bin"),
        *("lost+found", "thumbs.db", "desktop.ini", "system volume information"),
    }
)
"""What systems and programs leave in folders, in small letters; passed over like hidden files."""
PACKED_FROM = 500
"""Images; fewer are read as quickly as they are unpacked."""
_REPORT_EVERY = 2_000
"""Images between two messages of progress."""
_NAMED = 10
"""Files or classes named in a message; the others are counted."""


@dataclass(frozen=True)
class _Class:
    name: str
    files: list[Path]
    foreign: list[Path]
    """Images of a kind that is not read."""


def load_folder(
    path: Path, *, resize: str, image_size: int, progress: Progress | None = None
) -> ImageBank:
    """The images under ``path``: ``path/class`` or ``path/group/class`` holds those of a class.

    Classes and images are in the order of their names. All classes get as many images as the
    smallest has; of larger ones the first are taken. Hidden files and folders, and what systems
    leave behind, are passed over. Links that stay inside ``path`` are followed. Each image is
    turned as its EXIF data say and laid on white paper where it is transparent; an animation gives
    its first picture; one that is not square is stretched.

    Groups called ``train``, ``val`` and ``test`` are the parts of a split; if they hold the same
    classes, as sets for plain classification do, the images of a class are put together.

    The whole set is grey if every image is: then, if most pixels at the images' borders are bright,
    all images are inverted, so that a dark stroke on bright paper becomes 255 on 0. If one image
    has colour the whole set has three channels (red, green, blue), and its values stay as they are.

    Args:
        path: the folder.
        resize: ``nearest`` or ``antialias`` (Lanczos).
        image_size: width and height in pixels.
        progress: told in words what happens, and what in the set may not be as it was meant.

    Returns:
        Images [classes, drawings, 1 or 3, size, size]; names such as ``class`` or ``group/class``.

    Raises:
        DataError: no classes, classes of fewer than two images, or files that are no images: all of
            them are named.
    """
    say = progress or silent
    classes = _classes(path, say)
    counts = {each.name: len(each.files) for each in classes}
    drawings = min(counts.values())
    if max(counts.values()) > drawings:
        smallest = [name for name, count in counts.items() if count == drawings]
        unused = sum(counts.values()) - drawings * len(counts)
        say(
            f"the classes of {visible(str(path))} have {drawings} to {max(counts.values())} "
            f"images: the first {drawings} of each are used, {unused:,} are not, because of "
            f"{_listed(smallest)}"
        )
    chosen = [file for each in classes for file in each.files[:drawings]]
    names = tuple(visible(each.name) for each in classes)
    source = visible(str(path))
    place = "\0".join((str(path.resolve()), resize, str(image_size), *names))
    key = sha256(place.encode("utf-8", "surrogatepass")).hexdigest()
    packed = packed_folder() / f"folder-{key[:16]}.safetensors"
    fingerprint = file_fingerprint(chosen) if len(chosen) >= PACKED_FROM else ""
    if fingerprint:
        bank = recall(packed, content=key, fingerprint=fingerprint, say=say)
        if bank is not None:
            return bank
    images = _read_images(path, chosen, resize, image_size, say)
    images = images.reshape(len(classes), drawings, *images.shape[1:])
    _tell_twins(path, chosen, images, say)
    if images.shape[2] == 1 and _is_paper_bright(images):
        np.subtract(255, images, out=images)
    pixels = torch.from_numpy(images)
    bank = ImageBank("folder", pixels, names, bank_hash(pixels, names), source)
    if fingerprint:
        remember(packed, bank, content=key, fingerprint=fingerprint, say=say)
    return bank


def _classes(path: Path, say: Progress) -> list[_Class]:
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
        classes = [_class(path, folder) for folder in _class_folders(path, path)]
    except OSError as error:
        raise DataError(f"cannot be read: {error.strerror or error}", where=where) from error
    if not classes:
        raise DataError(
            "holds no class folders",
            where=where,
            hint=f"Put the images of each class in a folder of its own, e.g. {where}/cat/01.png",
        )
    classes = _merged(path, classes, say)
    _check_sizes(path, classes)
    foreign = Counter(file.suffix.lower() for each in classes for file in each.foreign)
    if foreign:
        kinds = ", ".join(f"{count:,} {suffix}" for suffix, count in sorted(foreign.items()))
        say(f"passed over, for they cannot be read here: {kinds}; convert them to PNG or JPEG")
    return sorted(classes, key=lambda each: each.name.split("/"))


def _class(root: Path, folder: Path) -> _Class:
    files = [entry for entry in _entries(root, folder) if not entry.is_dir()]
    name = unicodedata.normalize("NFC", folder.relative_to(root).as_posix())
    return _Class(
        name,
        # is_file is false for a pipe, which would block.
        [file for file in files if file.suffix.lower() in SUFFIXES and file.is_file()],
        [file for file in files if file.suffix.lower() in FOREIGN],
    )


def _merged(path: Path, classes: list[_Class], say: Progress) -> list[_Class]:
    """Classes that lie in several parts of a split are one, if the parts hold the same."""
    parts: dict[str, dict[str, _Class]] = {}
    for each in classes:
        if part_of(each.name):
            group, _, own = each.name.partition("/")
            parts.setdefault(group, {})[own] = each
    found = Counter(own for names in parts.values() for own in names)
    shared = sorted(own for own, count in found.items() if count > 1)
    if not shared:
        return classes
    groups = ", ".join(parts)
    if any(count < len(parts) for count in found.values()):
        raise DataError(
            f"{_listed(shared)}: classes of the same name lie in more than one of {groups}",
            where=visible(str(path)),
            hint="Few-shot learning is tested on classes that were not trained on: put each class "
            "into one part, or name classes that differ by different names.",
        )
    say(
        f"{groups} of {visible(str(path))} hold classes of the same name ({_listed(shared)}): the "
        "images of each are put together, and the classes are split anew"
    )
    merged = [
        _Class(
            own,
            [file for names in parts.values() for file in names[own].files],
            [file for names in parts.values() for file in names[own].foreign],
        )
        for own in shared
    ]
    return [*(each for each in classes if not part_of(each.name)), *merged]


def _check_sizes(path: Path, classes: Sequence[_Class]) -> None:
    small = [each for each in classes if len(each.files) < 2]
    if not small:
        return
    words = []
    for each in small:
        found = "one image" if each.files else "no images"
        if each.foreign:
            suffixes = " and ".join(sorted({file.suffix for file in each.foreign}))
            found += f", and {len(each.foreign)} {suffixes} that cannot be read here"
        words.append((visible(each.name), found))
    rule = "it takes at least two, one to learn from and one to ask"
    hint = f"Images end in {' '.join(sorted(SUFFIXES))}"
    if len(words) == 1:
        name, found = words[0]
        raise DataError(f"the class has {found}; {rule}", where=f"{path}/{name}", hint=hint)
    listed = _listed([f"{name} ({found})" for name, found in words])
    raise DataError(
        f"{len(words)} classes have fewer than two images: {listed}; {rule}",
        where=visible(str(path)),
        hint=hint,
    )


def _class_folders(root: Path, path: Path) -> Iterator[Path]:
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
        if inside and _class(root, folder).files:
            raise DataError(
                "holds both images and folders, so it is neither a class nor a group of classes",
                where=visible(str(folder)),
            )


def _folders_in(root: Path, path: Path) -> list[Path]:
    return [entry for entry in _entries(root, path) if entry.is_dir()]


def _entries(root: Path, path: Path) -> list[Path]:
    """What lies in a folder, ordered by name on every system alike.

    Raises:
        DataError: a link leads nowhere, out of ``root``, or to a folder that holds it.
    """
    entries = [
        entry
        for entry in path.iterdir()
        if not entry.name.startswith(".") and entry.name.lower() not in LEFTOVERS
    ]
    for entry in entries:
        if entry.is_symlink():
            _check_link(root, entry)
    return sorted(entries, key=lambda entry: unicodedata.normalize("NFC", entry.name))


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


def _read_images(root: Path, files: list[Path], resize: str, size: int, say: Progress) -> Pixels:
    """[images, 1 or 3, size, size] uint8."""
    pictures: list[Picture] = []
    unreadable: list[tuple[Path, str]] = []
    deep: dict[int, float] = {}

    def add(file: Path, peak: float | None = None) -> Picture | None:
        try:
            return read_picture(file, resize, size, peak=peak)
        except UnreadableError as error:
            unreadable.append((file, str(error)))
            return None

    for index, file in enumerate(files):
        if index % _REPORT_EVERY == 0:
            say(f"reading images: {index:,} of {len(files):,}")
        picture = add(file)
        if picture is not None:
            if picture.peak is not None:
                deep[len(pictures)] = picture.peak
            pictures.append(picture)
    if not unreadable and deep:
        # How many of their bits are used is decided for all alike.
        peak = max(deep.values())
        for index, own in deep.items():
            again = pictures[index] if own == peak else add(files[index], peak)
            pictures[index] = again or pictures[index]
        say(f"{len(deep):,} images have more than 8 bits; their largest value is {peak:g}")
    if unreadable:
        raise _unreadable(root, unreadable)
    coloured = [index for index, each in enumerate(pictures) if each.pixels.shape[0] == 3]
    if coloured and len(coloured) <= len(pictures) // 10:
        listed = _listed([_inside(root, files[index]) for index in coloured])
        say(f"all images are read in colour because of {listed}; the others are grey")
    images = np.empty((len(pictures), 3 if coloured else 1, size, size), np.uint8)
    for index, each in enumerate(pictures):
        images[index] = each.pixels  # a grey image among coloured ones is the same in all three
    return images


def _unreadable(root: Path, files: list[tuple[Path, str]]) -> DataError:
    hint = "Repair the files or take them out of the data set."
    if len(files) == 1:
        file, fault = files[0]
        repair = fault.startswith("is not")
        return DataError(
            visible(fault),
            where=visible(str(file)),
            hint="Repair the file or take it out of the data set." if repair else None,
        )
    lines = [f"{_inside(root, file)}: {visible(fault)}" for file, fault in files[:_NAMED]]
    if len(files) > _NAMED:
        more = _listed([_inside(root, file) for file, _ in files[_NAMED:]], 1000)
        lines.append(f"and {len(files) - _NAMED:,} more: {more}")
    return DataError(
        f"{len(files):,} images cannot be read",
        where=visible(str(root)),
        hint="\n".join([*lines, hint]),
    )


def _tell_twins(root: Path, files: list[Path], images: Pixels, say: Progress) -> None:
    """Say which images of a class are the same: a query would show what was learned from."""
    twins = []
    drawings = images.shape[1]
    for number, drawn in enumerate(images):
        seen: dict[bytes, int] = {}
        for place, image in enumerate(drawn):
            first = seen.setdefault(image.tobytes(), place)
            if first != place:
                pair = (files[number * drawings + which] for which in (place, first))
                twins.append(" = ".join(_inside(root, file) for file in pair))
    if twins:
        say(
            f"{len(twins):,} images are identical to another one of their class, so that a query "
            f"can be the image that was learned from: {_listed(twins)}"
        )


def _inside(root: Path, file: Path) -> str:
    return visible(file.relative_to(root).as_posix())


def _listed(names: Sequence[str], most: int = _NAMED) -> str:
    """Names for a message, the first few."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return visible(", ".join(names[:most])) + more


def _is_paper_bright(images: Pixels) -> bool:
    """Whether most pixels at the borders of all images are nearer to white than to black."""
    border = np.concatenate(
        [
            images[..., 0, :].ravel(),
            images[..., -1, :].ravel(),
            images[..., :, 0].ravel(),
            images[..., :, -1].ravel(),
        ]
    )
    return bool((border > 127).mean() > 0.5)
