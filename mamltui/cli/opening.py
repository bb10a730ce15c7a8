"""Opening the app, once it is known what it is to show."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import TYPE_CHECKING

from mamltui.commands import run_command
from mamltui.errors import UsageError

if TYPE_CHECKING:
    from mamltui.tui.session.options import Options


def open_app(options: Options) -> int:
    """Run the app to its end; the exit code.

    Raises:
        UsageError: this is no terminal.
        ProfileError: there is no such profile, or it is not valid.
    """
    if options.profile:
        from mamltui.profiles import load_profile

        load_profile(options.profile, options.overrides)
    # Textual reads keys from stdin and draws on stderr; a pipe on stdout wants data, unless it
    # leads to a browser.
    is_served = "web_driver" in os.environ.get("TEXTUAL_DRIVER", "")
    if not is_served and not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        name = options.profile or "quickstart"
        raise UsageError(
            "the app needs a terminal",
            hint=f"Without one: {run_command(name, options.common, overrides=options.overrides)}",
        )
    gc.disable()  # until Home is filled: nothing is thrown away before, and looking costs time
    from mamltui.tui.app import run_app

    code = run_app(options)
    if threading.active_count() > 1:
        # A thread inside torch would be torn down by the interpreter's end, sometimes loudly.
        os._exit(code)
    return code
