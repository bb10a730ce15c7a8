"""What a long training takes: memory, handles, threads and bytes on the disk, and how they grow.

    python benchmarks/endurance.py [--iterations N]     a table, and results/endurance.{json,md}

The real command trains a tiny network on the embedded data and tells its steps on a pipe. This
process looks from outside, at ``/proc`` and at the run folder, so it needs Linux. Growth is the
slope of a straight line through the samples (least squares), without the first tenth, in which
libraries set themselves up. The metrics are to grow, by a line a logged step; all else is not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cpu import machine

RESULTS = Path(__file__).parent / "results"
SETTINGS: dict[str, Any] = {
    "network.filters": 16,
    "task.way": 2,
    "task.query": 1,
    "meta.batch": 1,
    "validation.interval": 1000,
    "validation.episodes": 4,
    "validation.keep": 3,
    "evaluation.episodes": 10,
    "run.log_interval": 20,
    "run.checkpoint_interval": 500,
    "engine.strategy": "native",
}
SAMPLES = 200
UNITS = {
    "resident": "KiB",
    "handles": "",
    "threads": "",
    "metrics": "bytes",
    "events": "bytes",
    "checkpoints": "bytes",
    "files": "",
}


def training(iterations: int, runs: Path) -> list[str]:
    settings = SETTINGS | {"meta.iterations": iterations}
    command = [sys.executable, "-m", "mamltui", "run", "quickstart", "--headless"]
    command += ["--device", "cpu", "--format", "jsonl", "--runs-dir", str(runs)]
    return command + [
        part for key, value in settings.items() for part in ("--set", f"{key}={value}")
    ]


def sample(process: int, folder: Path) -> dict[str, int]:
    """What the process and its run folder take now."""
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines()
    )
    files = [path for path in folder.rglob("*") if path.is_file()]
    checkpoints = [path for path in files if path.parent.name == "checkpoints"]
    return {
        "resident": int(status["VmRSS"].split()[0]),
        "handles": len(list(Path(f"/proc/{process}/fd").iterdir())),
        "threads": int(status["Threads"]),
        "metrics": (folder / "metrics.jsonl").stat().st_size,
        "events": (folder / "events.jsonl").stat().st_size,
        "checkpoints": sum(path.stat().st_size for path in checkpoints),
        "files": len(files),
    }


def samples(iterations: int) -> Iterator[dict[str, Any]]:
    """The training's own samples, in order of the iterations."""
    every = max(SETTINGS["run.log_interval"], iterations // SAMPLES)
    with tempfile.TemporaryDirectory() as place:
        runs = Path(place)
        with subprocess.Popen(training(iterations, runs), stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for line in process.stdout:
                event = json.loads(line)
                if event["event"] == "step" and event["iteration"] % every == 0:
                    (folder,) = runs.iterdir()
                    rate = event["iterations_per_second"]
                    found = sample(process.pid, folder)
                    yield {"iteration": event["iteration"], "rate": rate, **found}
        if process.returncode:
            sys.exit(f"the training ended with {process.returncode}")


def growth(found: list[dict[str, Any]], key: str) -> float:
    """By how much a value grows in 1,000 iterations, at the end as at the beginning."""
    late = found[len(found) // 10 :]
    line = statistics.linear_regression(
        [each["iteration"] for each in late], [each[key] for each in late]
    )
    return round(1000 * line.slope, 2) + 0.0  # which has no sign where it is nothing


def table(found: list[dict[str, Any]]) -> str:
    first, last = found[len(found) // 10], found[-1]
    lines = [
        f"| | at iteration {first['iteration']:,} | at {last['iteration']:,} | most | growth in "
        "1,000 iterations |",
        "|---|---|---|---|---|",
    ]
    for key, unit in UNITS.items():
        name = f"{key}, {unit}" if unit else key
        most = max(each[key] for each in found)
        lines.append(
            f"| {name} | {first[key]:,} | {last[key]:,} | {most:,} | {growth(found, key):,.2f} |"
        )
    return "\n".join(lines)


def page(about: dict[str, Any], found: list[dict[str, Any]]) -> str:
    threads = f"{about['threads']} thread{'s' if about['threads'] != 1 else ''}"
    described = ", ".join(f"{key} = {value}" for key, value in SETTINGS.items())
    return (
        f"# {found[-1]['iteration']:,} iterations of one training\n\n"
        f"{about['cpu']}, {threads}; torch {about['packages']['torch']}; the profile quickstart "
        f"with {described}. {len(found)} samples from outside the process; growth is the slope of "
        f"a straight line through the last nine tenths of them.\n\n{table(found)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--iterations", type=int, default=100_000)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    found = []
    for each in samples(arguments.iterations):
        found.append(each)
        resident, rate = each["resident"], each["rate"]
        print(f"{each['iteration']:>9,}  {resident:,} KiB  {rate:.0f} it/s", flush=True)
    about = machine()
    document = {"machine": about, "settings": SETTINGS, "samples": found}
    (arguments.out / "endurance.json").write_text(json.dumps(document, indent=1) + "\n")
    (arguments.out / "endurance.md").write_text(page(about, found))
    print(table(found))


if __name__ == "__main__":
    main()
