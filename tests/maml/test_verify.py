"""The check that users run on their machine finds right gradients right and wrong ones wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from mamltui.maml import outer, verify
from mamltui.maml.gradient import MetaGradient
from mamltui.maml.strategies.autograd import Autograd

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def report() -> verify.VerifyReport:
    return verify.run_verification(CPU)


def test_kernels_that_are_missing_are_compiled_with_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[torch.dtype] = []
    said: list[str] = []
    monkeypatch.setattr(verify, "must_compile", lambda case: case.dtype not in compiled)
    monkeypatch.setattr(verify.native, "prepare", lambda dtype, *_: compiled.append(dtype))
    case = verify.Case(verify.NetworkSpec(way=5), verify.InnerLoop(1, 0.4), CPU)
    for _ in range(2):
        verify._compile(case, said.append)
    assert compiled == [torch.float32, torch.float64]
    assert said == ["compiling the kernels for this processor, once"]


def test_trusts_this_machine(report: verify.VerifyReport) -> None:
    assert report.trusted, report.checks
    assert "can be trusted" in report.sentence
    assert {check.name.split(",")[0] for check in report.checks} >= {
        "native",
        "analytic",
        "autograd",
    }


def test_says_what_it_found_about_batch_norm_under_vmap(report: verify.VerifyReport) -> None:
    word = "right" if report.vmap.passed else "WRONG"
    assert word in report.vmap_sentence
    assert torch.__version__ in report.vmap_sentence


def test_finds_nothing_wrong_where_tasks_are_taken_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loop(task_loss: Any, _: object) -> Any:
        return lambda theta, *episodes: torch.stack(
            [task_loss(theta, *task) for task in zip(*episodes, strict=True)]
        )

    monkeypatch.setattr(torch.func, "vmap", loop)
    assert verify.run_verification(CPU).vmap.passed


def test_does_not_trust_a_first_order_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    task_gradients = outer.task_gradients

    def first_order(
        network: Any, inner: Any, parameters: Any, episodes: Any, backend: Any, **more: Any
    ) -> MetaGradient:
        if backend is Autograd:
            inner = replace(inner, first_order=True)
        return task_gradients(network, inner, parameters, episodes, backend, **more)

    monkeypatch.setattr(outer, "task_gradients", first_order)
    report = verify.run_verification(CPU)
    assert not report.trusted
    assert "NOT" in report.sentence
    assert "autograd, 1 inner step, float64" in report.sentence
    assert not any(c.passed for c in report.checks if c.name.startswith("autograd"))
    assert all(c.passed for c in report.checks if c.name.startswith("analytic"))
