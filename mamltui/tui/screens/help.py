"""The part of the help that is the same on every screen."""

EVERYWHERE = """
## Everywhere

| key | does |
|---|---|
| 1 to 6 | Home, Train, Episode, Evaluate, Compare, Log |
| ? | this help |
| ctrl+p | command palette: everything that can be done, by name; also the theme |
| C | copy the headless command that repeats what is on the screen |
| ctrl+q | quit; a training is stopped after a checkpoint, if you agree |

Titles, rows and charts take the mouse as well. `NO_COLOR=1` shows no colours,
`TEXTUAL_ANIMATIONS=none` stops all movement.
"""
