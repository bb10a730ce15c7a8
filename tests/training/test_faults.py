"""A training that fails says why in its folder, and leaves it ready to go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mamltui.errors import DeviceError, StorageError
from mamltui.events import Failed, Finished, Step
from mamltui.maml import outer
from mamltui.maml.gradient import MetaGradient
from mamltui.runs import RunFolder
from mamltui.training import Trainer
from tests.training.small import assert_same_training, make_run, make_trainer, train


def fail_at(
    monkeypatch: pytest.MonkeyPatch, trainer: Trainer, iteration: int, error: BaseException
) -> list[int]:
    """Raise in the strategy, in meta-iteration ``iteration``; how many tasks it was asked for."""
    true, asked = outer.task_gradients, []

    def task_gradients(*arguments: Any, **options: Any) -> MetaGradient:
        if trainer._state.iteration + 1 == iteration:
            asked.append(arguments[3].tasks)
            raise error
        return true(*arguments, **options)

    monkeypatch.setattr(outer, "task_gradients", task_gradients)
    return asked


def test_an_unexpected_error_is_noted_and_raised(
    run: RunFolder, unbroken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(run)
    asked = fail_at(monkeypatch, trainer, 7, ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError, match="by zero"):
        list(trainer.train())
    info = run.info()
    assert (info.state, info.iteration) == ("failed", 6)
    assert info.error == "ZeroDivisionError: by zero"
    assert run.read_events().records[-1].event == Failed(6, "ZeroDivisionError: by zero")
    assert not run.held
    assert asked == [3]
    monkeypatch.undo()
    assert isinstance(train(run)[-1], Finished)
    assert run.info().error is None
    assert_same_training(run, unbroken)


OUT_OF_MEMORY = pytest.mark.parametrize(
    ("error", "what", "used"),
    [
        (
            torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
            "the GPU is out of memory",
            "End what else uses the GPU, or",
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(x)"),
            "the GPU is out of memory",
            "End what else uses the GPU, or",
        ),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 80 bytes."),
            "the machine is out of memory",
            "End what else uses its memory, or",
        ),
        (MemoryError(), "the machine is out of memory", "End what else uses its memory, or"),
    ],
    ids=["gpu", "gpu library", "processor", "python"],
)


@OUT_OF_MEMORY
def test_too_little_memory_for_a_single_task_is_explained(
    run: RunFolder, error: Exception, what: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(run)
    asked = fail_at(monkeypatch, trainer, 3, error)
    with pytest.raises(DeviceError, match=what) as caught:
        list(trainer.train())
    assert asked == [3, 1]
    assert str(caught.value.hint).startswith(f"{used} train with fewer ways, shots or inner steps")
    assert run.info().state == "failed"
    assert what in str(run.info().error)


@OUT_OF_MEMORY
def test_too_little_memory_for_the_images_of_a_meta_batch_is_explained(
    run: RunFolder, error: Exception, what: str, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(run)

    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(trainer._meta_step._sampler, "batch", full)
    with pytest.raises(DeviceError, match=what) as caught:
        list(trainer.train())
    assert str(caught.value.hint).startswith(f"{used} take a smaller meta.batch")
    assert what in str(run.info().error)


def test_other_errors_of_the_device_stay_what_they_are(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(run)
    fail_at(monkeypatch, trainer, 3, RuntimeError("CUDA error: an illegal memory access"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        list(trainer.train())


def test_a_keyboard_interrupt_in_a_step_leaves_the_last_checkpoint(
    run: RunFolder, unbroken: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(run)
    fail_at(monkeypatch, trainer, 7, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        list(trainer.train())
    assert run.info().state == "interrupted"
    assert run.load_checkpoint("last").iteration == 5
    monkeypatch.undo()
    train(run)
    assert_same_training(run, unbroken)


def test_a_run_folder_that_was_deleted_ends_the_training(root: Path) -> None:
    run = make_run(root)
    with pytest.raises(StorageError, match="deleted") as caught:
        for event in make_trainer(run).train():
            if isinstance(event, Step):
                for path in sorted(run.path.rglob("*"), reverse=True):
                    path.rmdir() if path.is_dir() else path.unlink()
                run.path.rmdir()
    assert str(run.path) in str(caught.value.where)
