"""A comparison of runs as a table for a document: Markdown, LaTeX or CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from mamltui.results.markdown import escaped
from mamltui.results.tables import csv_table
from mamltui.text import visible

Form = Literal["markdown", "latex", "csv"]
ENDINGS: dict[str, Form] = {".md": "markdown", ".tex": "latex", ".csv": "csv"}
"""Of files, and what is written into them."""
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "±": r"$\pm$",
    "—": "---",
    "→": r"$\rightarrow$",
}


def comparison_text(names: Sequence[str], rows: Sequence[Sequence[str]], form: Form) -> str:
    """A column for each run, a row for each of what is told.

    Args:
        names: of the runs.
        rows: each begins with what it tells, then has a cell for each run.
    """
    header = ["", *names]
    if form == "csv":
        columns = ["what", *(f"{number} {name}" for number, name in enumerate(names, 1))]
        cells = [dict(zip(columns, row, strict=True)) for row in rows]
        return csv_table(columns, [dict(row) for row in cells], text_columns=columns)
    if form == "markdown":
        lines = [
            _joined(map(escaped, header)),
            "|---|" + "---:|" * len(names),
            *(_joined(map(escaped, row)) for row in rows),
        ]
        return "\n".join(lines) + "\n"
    body = [" & ".join(map(_latex, row)) + r" \\" for row in [header, *rows]]
    lines = [
        r"% needs \usepackage{booktabs}",
        rf"\begin{{tabular}}{{l{'r' * len(names)}}}",
        r"\toprule",
        body[0],
        r"\midrule",
        *body[1:],
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def _joined(cells: Sequence[str] | map[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _latex(text: str) -> str:
    pattern = "|".join(map(re.escape, _LATEX))
    return re.sub(pattern, lambda match: _LATEX[match[0]], visible(text))
