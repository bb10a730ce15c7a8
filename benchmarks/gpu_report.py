"""What benchmarks/gpu.py found, as a page and as a table."""

from __future__ import annotations

import csv
import io
import statistics
from typing import Any

AIMS = {
    "one": "60,000 iterations of 5-way 1-shot in 60 s",
    "four": "60,000 of each of the four settings in 600 s",
    "peers": "50 times the fastest peer",
}
ITERATIONS = 60_000
LAUNCHES = {
    "graphs": "graphs_launched",
    "kernels launched one by one": "kernels_launched",
    "copies and fills": "copies_and_fills",
    "on device": "kernels_on_device",
}
"""Of one call, and their columns."""


def quartiles(values: list[float]) -> tuple[float, float, float]:
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def fastest(ms: dict[str, list[float]], *, ours: bool) -> tuple[str, float] | None:
    """Name and median of the fastest of mamltui's captured ways, or of the others."""
    prefix = "mamltui captured"
    medians = {
        name: statistics.median(values)
        for name, values in ms.items()
        if (name.startswith(prefix) if ours else not name.startswith("mamltui"))
    }
    return min(medians.items(), key=lambda item: item[1]) if medians else None


def speed_csv(found: dict[str, Any]) -> str:
    """One row a setting and contender."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    measured = ("rounds", "median_ms", "q1_ms", "q3_ms", "seconds_of_60000")
    writer.writerow(
        ["setting", "contender", *measured, *LAUNCHES.values(), "relative_difference_to_float64"]
    )
    for setting, result in found.items():
        for name, values in result["ms"].items():
            low, middle, high = quartiles(values)
            launches = result["launches"][name] or {}
            figures = (middle, low, high, middle * ITERATIONS / 1e3)
            writer.writerow(
                [
                    setting,
                    name,
                    len(values),
                    *(f"{figure:.6g}" for figure in figures),
                    *(launches.get(key, "") for key in LAUNCHES),
                    result["float64 relative difference"].get(name, ""),
                ]
            )
    return text.getvalue()


def summary(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    about = report["machine"]
    packages = ", ".join(f"{name} {number}" for name, number in about["packages"].items())
    lines = [
        "# Captured meta-iterations on a GPU",
        "",
        "Written by `python benchmarks/gpu.py`, whose first lines say what is measured.",
        f"{about['device']}, {about['processors']} processors; Python {about['python']}, "
        f"{packages}, CUDA {about['cuda']}; {report['seconds']:.0f} s in all.",
    ]
    if about["quick"]:
        lines += ["", "**In miniature: these figures mean nothing.**"]
    lines += ["", *_aims(report["speed"])]
    lines += ["", "## Speed", "", *_speed(report["speed"])]
    lines += ["", "## Trainings", "", *_trainings(report["trainings"])]
    lines += ["", "## Correctness", "", *_correctness(report["correctness"])]
    for part, error in report["errors"].items():
        lines += ["", f"## {part} failed", "", "```", error.strip(), "```"]
    return "\n".join([*lines, ""])


def _aims(speed: dict[str, Any]) -> list[str]:
    """The aims, by fp32 and by the fastest precision."""
    lines = ["| aim | fp32 | fastest precision |", "|---|---:|---:|"]

    def seconds(result: dict[str, Any]) -> tuple[float, float]:
        exact = statistics.median(result["ms"]["mamltui captured, fp32"])
        best = fastest(result["ms"], ours=True)
        assert best is not None
        return exact * ITERATIONS / 1e3, best[1] * ITERATIONS / 1e3

    measured = {
        name: seconds(result)
        for name, result in speed.items()
        if "mamltui captured, fp32" in result["ms"]
    }
    if "5way1shot" in measured:
        exact, best = measured["5way1shot"]
        lines.append(f"| {AIMS['one']} | {exact:.0f} s | {best:.0f} s |")
    if len(measured) == 4:
        exact, best = (sum(column) for column in zip(*measured.values(), strict=True))
        lines.append(f"| {AIMS['four']} | {exact:.0f} s | {best:.0f} s |")
    for name, (exact, best) in measured.items():
        peer = fastest(speed[name]["ms"], ours=False)
        if peer is not None:
            whole = peer[1] * ITERATIONS / 1e3
            lines.append(
                f"| {AIMS['peers']}, {name} ({peer[0]}) "
                f"| {whole / exact:.1f} x | {whole / best:.1f} x |"
            )
    return lines


def _speed(found: dict[str, Any]) -> list[str]:
    if not found:
        return ["Not measured."]
    names = list(dict.fromkeys(name for result in found.values() for name in result["ms"]))
    lines = [
        "Milliseconds, median (quartiles). `captured` is a whole meta-iteration, the others are "
        "the meta-gradient alone, of the same tasks. The others run with torch's own settings, "
        "which on CUDA means TF32 in convolutions.",
        "",
        "| ms | " + " | ".join(found) + " |",
        "|---|" + "---:|" * len(found),
    ]
    for name in names:
        cells = []
        for result in found.values():
            if name not in result["ms"]:
                cells.append("-")
                continue
            low, middle, high = quartiles(result["ms"][name])
            cells.append(f"{middle:.3g} ({low:.3g}-{high:.3g})")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "Launches by the processor + kernels that ran on the device, of one call:", ""]
    lines += ["| | " + " | ".join(found) + " |", "|---|" + "---:|" * len(found)]
    for name in names:
        cells = []
        for result in found.values():
            counts = result["launches"].get(name)
            if counts is None:
                cells.append("-")
                continue
            launched = counts["graphs"] + counts["kernels launched one by one"]
            cells.append(f"{launched} + {counts['on device']}")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Largest relative difference of the float32 meta-gradient to the float64 loop:",
        "",
    ]
    for name in next(iter(found.values()))["float64 relative difference"]:
        worst = max(
            result["float64 relative difference"].get(name, 0.0) for result in found.values()
        )
        lines.append(f"- {name}: {worst:.1e}")
    for setting, result in found.items():
        lines += [
            f"- left out of {setting}: {key}: {why}" for key, why in result["left out"].items()
        ]
    return lines


def _trainings(found: dict[str, Any]) -> list[str]:
    if not found:
        return ["None."]
    lines = [
        "| setting | iterations | iterations a second | seconds | test accuracy % | end |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, result in found.items():
        accuracy = "-"
        if "test accuracy" in result:
            accuracy = (
                f"{100 * result['test accuracy']:.2f} ± {100 * result['test accuracy ci95']:.2f}"
            )
        lines.append(
            f"| {name} | {result['iterations']:,} of {result['iterations asked for']:,} "
            f"| {result['iterations a second']:.1f} | {result['seconds of training']:.1f} "
            f"| {accuracy} | {result['end']} |"
        )
    for name, result in found.items():
        for sentence in result.get("beside the literature", []):
            lines += ["", f"- {name}: {sentence}"]
    return lines


def _correctness(found: dict[str, Any]) -> list[str]:
    lines = ["Relative difference of the meta-gradient to the float64 loop:", ""]
    for name, value in found.get("against float64", {}).items():
        lines.append(f"- {name}: {value:.1e}")
    lines += ["", "Captured against uncaptured, the same iterations:", ""]
    for name, result in found.get("captured against uncaptured", {}).items():
        same = "to the bit" if result["equal to the bit"] else "not to the bit"
        off = result["parameters' relative difference"]
        lines.append(
            f"- {name}: {off:.1e}, equal {same}, {result['task chunk']} tasks at once"
            + "".join(f"; {notice}" for notice in result["notices"])
        )
    memory = found.get("memory")
    if memory:
        flat = "flat" if memory["flat"] else f"NOT flat: {memory['before']} -> {memory['after']}"
        lines += ["", f"Memory over {memory['replays']:,} replays: {flat}."]
    return lines
