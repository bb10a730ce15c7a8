"""Opening the app, once it is known what it is to show."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from mamltui.commands import run_command
from mamltui.errors import ProfileError, UsageError

if TYPE_CHECKING:
    from mamltui.tui.session.options import Options


SYNONYMS = {
    "train": "run",
    "evaluate": "eval",
    "test": "eval",
    "score": "eval",
    "watch": "attach",
    "classify": "adapt",
    "predict": "adapt",
}
"""What people call a command otherwise."""


def open_app(options: Options) -> int:
    """Run the app to its end; the exit code.

    Raises:
        UsageError: this is no terminal, or there is no such profile or command.
        ProfileError: the profile is not valid.
    """
    if options.profile:
        _check_profile(options)
    # Textual reads keys from stdin and draws on stderr; a pipe on stdout wants data, unless it
    # leads to a browser.
    is_served = "web_driver" in os.environ.get("TEXTUAL_DRIVER", "")
    if not is_served and not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        name = options.profile or "quickstart"
        raise UsageError(
            "the app needs a terminal",
            hint=f"Without one: {run_command(name, options.common, overrides=options.overrides)}",
        )
    gc.disable()  # until the first paint: nothing is thrown away before, and looking costs time
    from mamltui.tui.app import run_app

    code = run_app(options)
    if threading.active_count() > 1:
        # A thread inside torch would be torn down by the interpreter's end, sometimes loudly.
        os._exit(code)
    return code


def _check_profile(options: Options) -> None:
    from mamltui.profiles import load_profile, packaged_profiles

    name = options.profile
    try:
        load_profile(name, options.overrides)
    except ProfileError:
        from difflib import get_close_matches

        from mamltui.cli.group import COMMANDS

        if not name.isidentifier() or Path(name).exists() or name in packaged_profiles():
            raise
        meant = SYNONYMS.get(name)
        near = [meant] if meant else get_close_matches(name, COMMANDS, n=1)
        known = f"The commands are {', '.join(COMMANDS)}; profiles: mamltui profiles list."
        raise UsageError(
            f"there is no command and no profile {name!r}",
            hint=f"Did you mean `mamltui {near[0]}`?" if near else known,
        ) from None
