"""learn2learn's published Omniglot example, unchanged: its accuracy against minutes, as a CSV.

    pip install torchvision scipy cython setuptools requests tqdm
    python benchmarks/learn2learn_example.py SOURCE --data-dir DIR --minutes 60 --csv l2l.csv
    mamltui plot fast-5way1shot l2l.csv --minutes --svg minutes.svg

SOURCE is the unpacked source archive of learn2learn 0.2.0, whose wheel does not build on newer
Pythons. Its ``examples/vision/maml_omniglot.py`` is executed as it is, on the CPU: it has 5 ways,
1 shot, 32 tasks, one inner step of 0.5, Adam at 0.003, and a network of fully connected layers. The
three Cython modules that its tasks need are compiled in a temporary copy; the packages around them
are found without running their ``__init__``, which would import environments and text models.

Its own prints are read while it runs. What it calls "Meta Valid Accuracy" is of 32 validation tasks
with one query image a class in every iteration; a row of the CSV is the mean since the row before.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import hashlib
import importlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
import types
import zipfile
from pathlib import Path

COMPILED = ("task_dataset", "meta_dataset", "transforms")
BARE = ("algorithms", "data", "vision", "vision.models", "vision.datasets")
"""Packages whose ``__init__`` is not run."""
NEEDED = {
    "learn2learn": ("utils:clone_module",),
    "learn2learn.data": (
        "task_dataset:Taskset",
        "meta_dataset:MetaDataset",
        "meta_dataset:FilteredMetaDataset",
    ),
    "learn2learn.algorithms": ("maml:MAML",),
    "learn2learn.vision.models": ("cnn4:OmniglotFC",),
    "learn2learn.vision.datasets": ("full_omniglot:FullOmniglot",),
}
"""What the example and its tasks take from those packages, and in which module it is."""
ROW_SECONDS = 30.0
COLUMNS = ("minutes", "core_minutes", "iteration", "accuracy")


class Recorder(io.TextIOBase):
    """Standard output that reads along.

    Args:
        path: the CSV.
        minutes: after so many of the clock the example is ended.
    """

    def __init__(self, path: Path, minutes: float, out: io.TextIOBase) -> None:
        self._file = path.open("w", newline="", encoding="utf-8")
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)
        self._limit = 60 * minutes
        self._out = out
        self._began = (0.0, 0.0)
        self._last = 0.0
        self._iteration = 0
        self._line = ""
        """What has been written of the line that is being written."""
        self._accuracies: list[float] = []

    def begin(self) -> None:
        """Time begins with the first step, as in a run of mamltui: loading data does not count."""
        self._began = time.monotonic(), time.process_time()

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            found = re.match(r"(Iteration|Meta Valid Accuracy) ([\d.]+)", line)
            if found and found[1] == "Iteration":
                self._iteration = int(found[2]) + 1
            elif found:
                self._accuracies.append(float(found[2]))
                self._note()
        return len(text)

    def _note(self) -> None:
        passed = time.monotonic() - self._began[0]
        if passed - self._last >= ROW_SECONDS or passed >= self._limit:
            accuracy = 100 * sum(self._accuracies) / len(self._accuracies)
            cores = (time.process_time() - self._began[1]) / 60
            row = (f"{passed / 60:.3f}", f"{cores:.3f}", self._iteration, f"{accuracy:.2f}")
            self._rows.writerow(row)
            self._file.flush()
            self._out.write(" ".join(map(str, row)) + "\n")
            self._last, self._accuracies = passed, []
        if passed >= self._limit:
            raise SystemExit(0)


def prepare_data(data_dir: Path, home: Path) -> None:
    """Omniglot in ``home/data``, where the example looks for it, as torchvision leaves it.

    Archives that were packed anew hold the same images (``mamltui data verify``) and pass as well.
    """
    from torchvision.datasets.omniglot import Omniglot

    folder = home / "data" / "omniglot-py"
    folder.mkdir(parents=True)
    for name in ("images_background", "images_evaluation"):
        archive = next(data_dir.expanduser().rglob(f"{name}.zip"), None)
        if archive is None:
            sys.exit(f"{data_dir}: there is no {name}.zip in it")
        (folder / archive.name).symlink_to(archive.resolve())
        Omniglot.zips_md5[name] = hashlib.md5(archive.read_bytes()).hexdigest()
        with zipfile.ZipFile(archive) as content:
            content.extractall(folder)


def import_what_is_needed(source: Path, folder: Path) -> None:
    """Make ``import learn2learn`` work with what the example uses of it."""
    copy = folder / "learn2learn"
    shutil.copytree(source / "learn2learn", copy)
    modules = [f"learn2learn/data/{name}.pyx" for name in COMPILED]
    compiler = [sys.executable, "-m", "Cython.Build.Cythonize", "-i", "-3", *modules]
    done = subprocess.run(compiler, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"its Cython modules cannot be compiled:\n{done.stderr[-2000:]}")
    sys.path.insert(0, str(folder))
    for name in ("", *BARE):
        package = types.ModuleType(f"learn2learn.{name}".rstrip("."))
        package.__path__ = [str(copy.joinpath(*name.split(".")))]
        sys.modules[package.__name__] = package
        parent, _, child = package.__name__.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
    for package_name, places in NEEDED.items():
        for place in places:
            module, _, wanted = place.partition(":")
            loaded = importlib.import_module(f"{package_name}.{module}")
            setattr(sys.modules[package_name], wanted, getattr(loaded, wanted))
    for module in ("nn", "data.transforms", "vision.transforms", "vision.benchmarks"):
        importlib.import_module(f"learn2learn.{module}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=Path, help="the unpacked source archive of learn2learn")
    parser.add_argument("--data-dir", type=Path, required=True, help="with Omniglot's two archives")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--csv", type=Path, required=True)
    asked = parser.parse_args()
    import torch

    torch.set_num_threads(asked.threads)
    example = asked.source / "examples" / "vision" / "maml_omniglot.py"
    if not example.is_file():
        parser.error(f"{example}: there is no such file")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["HOME"] = folder  # the example has its data in ~/data
        prepare_data(asked.data_dir, home)
        import_what_is_needed(asked.source, home)
        names = runpy.run_path(str(example), run_name="example")
        out = Recorder(asked.csv, asked.minutes, sys.stdout)
        models = sys.modules["learn2learn.vision.models"]
        network = models.OmniglotFC

        def beginning(*sizes: int) -> torch.nn.Module:
            out.begin()  # data are there: the example makes its network next
            return network(*sizes)

        models.OmniglotFC = beginning
        with contextlib.redirect_stdout(out):
            names["main"](cuda=False)


if __name__ == "__main__":
    main()
