"""What the app shows first: the profile or run that the command line names."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mamltui.errors import MamltuiError

if TYPE_CHECKING:
    from mamltui.tui.app import MamltuiApp


def load_torch() -> None:
    """Import torch in a thread of its own: whoever needs it later finds it ready."""

    def load() -> None:
        import mamltui.training.trainer  # noqa: F401

    threading.Thread(target=load, name="loading torch", daemon=True).start()


def open_asked(app: MamltuiApp) -> None:
    """Show, and perhaps start, what was asked for; an error is shown and the app lives on."""
    options, session = app.session.options, app.session
    if not (options.attach or options.profile):
        return
    from mamltui.profiles import load_profile
    from mamltui.runs import RunFolder

    try:
        if options.attach:
            session.watch(RunFolder.open(options.attach, options.place.runs))
        else:
            profile = load_profile(options.profile, options.overrides)
            if options.run_now:
                session.start(profile, options.profile, options.overrides, resume=options.resume)
            else:
                session.stage(profile, options.profile, options.overrides)
    except MamltuiError as error:
        app.report("Cannot be opened", error)
    else:
        app.go("train")
