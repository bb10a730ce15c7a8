"""Time whole starts of the command: `mamltui --help` should answer in 0.3 s.

python benchmarks/startup.py --runs 20
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = (["--help"], ["--version"], ["run", "--help"], ["profiles", "list"])


def seconds(arguments: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-m", "mamltui", *arguments], capture_output=True, check=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    runs = parser.parse_args().runs
    measured = {tuple(command): [seconds(command)] for command in COMMANDS}
    for _ in range(runs - 1):
        for command in COMMANDS:
            measured[tuple(command)].append(seconds(command))
    for command, values in measured.items():
        middle = statistics.median(values)
        print(
            f"mamltui {' '.join(command):<14} median {middle:.3f} s, "
            f"{min(values):.3f} to {max(values):.3f} s of {runs}"
        )


if __name__ == "__main__":
    main()
