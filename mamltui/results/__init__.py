"""Results: what evaluations found, beside what was published, as tables and files."""

from __future__ import annotations

from mamltui.results.evaluation import (
    STATISTICS,
    Evaluation,
    Outcomes,
    Spread,
    StepResult,
    ensemble_of,
)
from mamltui.results.files import (
    json_text,
    kept_evaluations,
    read_evaluations,
    result_stem,
    write_results,
    write_text,
)
from mamltui.results.grid import Grid, GridRow, grids
from mamltui.results.markdown import describe, markdown_text, score_cell, spread_text
from mamltui.results.paired import (
    RunDifference,
    compare_runs,
    p_text,
    paired_lines,
    unpaired_reason,
)
from mamltui.results.published import (
    Comparison,
    Figure,
    compare_with_published,
    figures_of,
    published_figures,
)
from mamltui.results.tables import COLUMNS, csv_table, csv_text, spreadsheet_safe

__all__ = [
    "COLUMNS",
    "STATISTICS",
    "Comparison",
    "Evaluation",
    "Figure",
    "Grid",
    "GridRow",
    "Outcomes",
    "RunDifference",
    "Spread",
    "StepResult",
    "compare_runs",
    "compare_with_published",
    "csv_table",
    "csv_text",
    "describe",
    "ensemble_of",
    "figures_of",
    "grids",
    "json_text",
    "kept_evaluations",
    "markdown_text",
    "p_text",
    "paired_lines",
    "published_figures",
    "read_evaluations",
    "result_stem",
    "score_cell",
    "spread_text",
    "spreadsheet_safe",
    "unpaired_reason",
    "write_results",
    "write_text",
]
