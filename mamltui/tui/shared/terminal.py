"""What the terminal itself is told: its title, and that something has ended."""

from __future__ import annotations

from mamltui.text import visible

SAVE_TITLE = "\x1b[22;0t"
RESTORE_TITLE = "\x1b[23;0t"
"""Of xterm's stack of titles; terminals without it do nothing."""
LONGEST = 120


def title_sequence(text: str) -> str:
    """Sets the title of the window (OSC 2)."""
    return f"\x1b]2;{visible(text)[:LONGEST]}\x07"


def notification_sequence(text: str) -> str:
    """Rings the bell, and has the terminal say a text (OSC 9); those that cannot show nothing."""
    return f"\x07\x1b]9;{visible(text)[:LONGEST]}\x1b\\"
