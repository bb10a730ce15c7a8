"""What people say of runs: titles and tags, checked before they are written."""

from __future__ import annotations

from collections.abc import Iterable

from mamltui.errors import UsageError
from mamltui.text import visible

LONGEST_TITLE = 200


def changed_tags(tags: Iterable[str], add: Iterable[str], remove: Iterable[str]) -> list[str]:
    """The tags with some more and some fewer, each once, in the order in which they were added.

    Raises:
        UsageError: a new one is not one word.
    """
    added, gone = list(add), set(remove)
    for word in added:
        if not word.isprintable() or not word or any(char.isspace() for char in word):
            raise UsageError("a tag is one word", where=visible(word), hint="Join words with -.")
    return list(dict.fromkeys([*(tag for tag in tags if tag not in gone), *added]))


def checked_title(title: str) -> str:
    """A title as it is kept, without space around it.

    Raises:
        UsageError: it cannot be shown on one line.
    """
    stripped = title.strip()
    if not stripped.isprintable():
        raise UsageError("a name is one line of printing characters", where=visible(stripped))
    if len(stripped) > LONGEST_TITLE:
        raise UsageError(
            f"a name has at most {LONGEST_TITLE} characters", where=stripped[:40] + "..."
        )
    return stripped
