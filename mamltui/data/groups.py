"""Groups of classes that say by their name which part of a split they are."""

from __future__ import annotations

PARTS = {
    "train": frozenset({"train", "training"}),
    "validation": frozenset({"val", "valid", "validation"}),
    "test": frozenset({"test", "testing"}),
}
"""What folders are called that hold the classes of one part of a split, in small letters."""


def part_of(class_name: str) -> str | None:
    """``train``, ``validation`` or ``test``, if the class lies in a group that is called so."""
    group, slash, _ = class_name.partition("/")
    parts = (part for part, names in PARTS.items() if slash and group.lower() in names)
    return next(parts, None)
