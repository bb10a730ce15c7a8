"""What the app shows first: the profile or run that the command line names."""

from __future__ import annotations

import threading

from mamltui.tui.session.session import Session


def load_torch() -> None:
    """Import torch in a thread of its own: whoever needs it later finds it ready."""

    def load() -> None:
        import mamltui.training.trainer  # noqa: F401

    threading.Thread(target=load, name="loading torch", daemon=True).start()


def open_asked(session: Session) -> bool:
    """Watch, and perhaps start, what was asked for; whether anything was.

    Raises:
        MamltuiError: it cannot be opened.
    """
    options = session.options
    if not (options.attach or options.profile):
        return False
    from mamltui.profiles import load_profile
    from mamltui.runs import find_run

    if options.attach:
        session.watch(find_run(options.attach, options.common.runs))
        return True
    profile = load_profile(options.profile, options.overrides)
    if options.run_now:
        session.start(
            profile,
            options.profile,
            options.overrides,
            resume=options.resume,
            title=options.title,
        )
    else:
        session.stage(profile, options.profile, options.overrides)
    return True
