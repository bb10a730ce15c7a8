"""Text that nobody has vouched for, made safe to print.

Names, descriptions, file contents and the words of the operating system can hold an escape sequence
that moves the cursor, clears the screen or renames the window, a bidirectional mark that swaps what
is read, or a lone surrogate that no encoding holds. Whatever reaches a terminal goes through here.
"""

from __future__ import annotations


def visible(text: str) -> str:
    """``text`` with every character that does not print written out, a line feed too."""
    if text.isprintable():
        return text
    return "".join(map(_written_out, text))


def visible_lines(text: str) -> str:
    """Like :func:`visible`, of a text whose line feeds are meant."""
    return "\n".join(map(visible, text.split("\n")))


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a text, ``visible``, in at most so many characters and three dots."""
    shown = visible(text[: most + 1])
    return shown if len(text) <= most else f"{shown[:most]}..."


def last_line(text: str) -> str:
    """The last line that says something: of what a program reports, the error itself."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" -")]
    return lines[-1] if lines else ""


def same_length(text: str) -> str:
    """``text`` with one harmless character in place of each that does not print; tabs stay.

    For editors, where the cursor must stand on the character that the file holds.
    """
    return text if text.isprintable() else "".join(map(_picture, text))


def _written_out(char: str) -> str:
    if char.isprintable():
        return char
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _picture(char: str) -> str:
    if char.isprintable() or char == "\t":
        return char
    return chr(0x2400 + ord(char)) if char < " " else "\N{REPLACEMENT CHARACTER}"
