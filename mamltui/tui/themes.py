"""The two themes of the app: quiet, with one accent colour."""

from __future__ import annotations

from textual.theme import Theme

# text-muted is a colour of its own: Textual's is a share of what lies behind it, which it does not
# work out where text carries its own styles.
DARK = Theme(
    name="mamltui-dark",
    primary="#5fafd7",
    secondary="#87afaf",
    accent="#5fd7d7",
    foreground="#d8dee4",
    background="#12151a",
    surface="#1b2027",
    panel="#20262e",
    success="#87d787",
    warning="#e5c07b",
    error="#ff7b72",
    dark=True,
    variables={"text-muted": "#8b939c"},
)
LIGHT = Theme(
    name="mamltui-light",
    primary="#1f6f9f",
    secondary="#4f7f7f",
    accent="#006d77",
    foreground="#1f2328",
    background="#fbfbf9",
    surface="#f0f0ec",
    panel="#e6e6e1",
    success="#1a7f37",
    warning="#8a5a00",
    error="#b42318",
    dark=False,
    variables={"text-muted": "#676d74"},
)
THEMES = (DARK, LIGHT)
