"""Draws the pictures of the README and the pages: screens of the app, showing runs.

python docs/make_pictures.py fast-5way1shot --screen train --svg docs/train.svg
python docs/make_pictures.py fast-5way1shot --screen episode --data-dir DIR --svg docs/episode.svg
python docs/make_pictures.py fast-5way1shot --screen draw --keys o enter --svg docs/draw.svg
python docs/make_pictures.py fast-5way1shot --screen home --wait 5 \\
    --keys tab down space down space down space 5 --out EMPTY_DIR --svg docs/compare.svg
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import tempfile
import time
from pathlib import Path

SECONDS = 60


async def picture(arguments: argparse.Namespace) -> str:
    """The screen as SVG, when it has stood still for a second."""
    from mamltui.commands import CommonOptions
    from mamltui.tui.app import MamltuiApp
    from mamltui.tui.session.options import Options
    from mamltui.tui.shared.status_line import SCREENS

    common = CommonOptions(arguments.out, arguments.data_dir, "cpu")
    app = MamltuiApp(Options(attach=arguments.run, common=common))
    columns, rows = map(int, arguments.size.split("x"))
    async with app.run_test(size=(columns, rows)) as pilot:
        limit = time.monotonic() + SECONDS
        while app.session.watched is None or app.session.watched.state == "reading":
            await asyncio.sleep(0.1)
            assert time.monotonic() < limit, "the run was not read"
        await pilot.press(SCREENS[arguments.screen][0])
        await asyncio.sleep(2)
        await pilot.press(*arguments.keys)
        await asyncio.sleep(arguments.wait)
        svg = app.export_screenshot(title=f"mamltui: {SCREENS[app.current_mode][1]}")
        app.session.stop()
    # A picture that loads fonts from elsewhere is shown without them, or not at all.
    return re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run")
    parser.add_argument("--screen", default="train")
    parser.add_argument("--keys", nargs="*", default=[], help="pressed on the screen")
    parser.add_argument("--size", default="120x36", help="columns x rows")
    parser.add_argument("--wait", type=float, default=2, help="seconds after the keys")
    parser.add_argument("--out", type=Path, help="the folder of the run folders")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--svg", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as state:
        os.environ["MAMLTUI_STATE_DIR"] = state
        svg = asyncio.run(picture(arguments))
    arguments.svg.write_text(svg)


if __name__ == "__main__":
    main()
