"""Which strategy covers what, why the others do not, and whom ``auto`` takes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mamltui import compiled
from mamltui.maml.chunks import Interrupted
from mamltui.maml.engine import Engine, UncoveredError
from mamltui.maml.inner import InnerLoop
from mamltui.maml.network import NetworkSpec
from mamltui.maml.strategies import STRATEGIES, Case, covering, why_not

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
INNER = InnerLoop(1, 0.4)
NETWORK = NetworkSpec(way=5, filters=16)


def case(
    network: NetworkSpec = NETWORK,
    inner: InnerLoop = INNER,
    device: torch.device = CPU,
    **others: Any,
) -> Case:
    return Case(network=network, inner=inner, device=device, **others)


def without_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "why_unavailable", lambda *_: "there is no C++ compiler")


IMPLICIT = InnerLoop(1, 0.4, outer="implicit", proximal=2.0)


@pytest.mark.parametrize(
    ("strategy", "asked", "words"),
    [
        ("native", case(device=CUDA), "it runs on processors only"),
        ("native", case(precision="bf16"), "no other precision than fp32"),
        ("native", case(dtype=torch.float16), "it has no kernels for torch.float16"),
        ("native", case(NetworkSpec(5, filters=6)), "fewer than 16 filters"),
        ("graph", case(), "it runs on CUDA devices only"),
        ("analytic", case(precision="tf32"), "only CUDA devices have TF32"),
        ("autograd", case(precision="tf32"), "no other precision than fp32"),
        ("autograd", case(precision="bf16", device=CUDA), "no other precision than fp32"),
    ],
)
def test_what_is_not_covered_has_a_reason_in_words(strategy: str, asked: Case, words: str) -> None:
    reason = why_not(strategy, asked)
    assert reason is not None
    assert words in reason
    assert strategy not in covering(asked)


def test_native_says_why_it_could_not_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    without_compiler(monkeypatch)
    assert why_not("native", case()) == "there is no C++ compiler"


@pytest.mark.parametrize("filters", [16, 20, 100])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_processor_has_all_strategies_but_graph(filters: int, dtype: torch.dtype) -> None:
    asked = case(NetworkSpec(5, filters=filters), dtype=dtype)
    assert covering(asked) == ["native", "analytic", "autograd"]


def test_graph_is_for_cuda_alone() -> None:
    assert "graph" in covering(case(device=CUDA))
    assert "native" not in covering(case(device=CUDA))
    assert "graph" not in covering(case())


@pytest.mark.parametrize("inner", [InnerLoop(1, 0.4, adapts="head"), IMPLICIT])
def test_all_of_them_cover_every_network_and_inner_loop(inner: InnerLoop) -> None:
    network = NetworkSpec(5, filters=20, layers=3, head="flatten", normalisation="none")
    assert covering(case(network, inner)) == ["native", "analytic", "autograd"]


def test_auto_takes_the_first_that_covers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert STRATEGIES[0] == "native"
    assert Engine(NETWORK, INNER, device=CPU).strategy == "native"
    without_compiler(monkeypatch)
    assert Engine(NETWORK, INNER, device=CPU).strategy == "analytic"


@pytest.mark.parametrize(
    ("strategy", "filters", "options", "words"),
    [
        (
            "native",
            6,
            {"precision": "bf16"},
            "native does not apply here: it has no other",
        ),
        ("graph", 16, {}, "strategy graph does not apply here: it runs on CUDA"),
        ("analytic", 16, {"precision": "tf32"}, "strategy analytic does not apply here: only CUDA"),
        ("autograd", 16, {"precision": "bf16"}, "strategy autograd does not apply here"),
        ("auto", 16, {"precision": "tf32"}, "TF32"),
    ],
)
def test_an_engine_refuses_what_its_strategy_does_not_cover(
    strategy: str, filters: int, options: dict[str, str], words: str
) -> None:
    with pytest.raises(UncoveredError, match=words):
        Engine(NetworkSpec(5, filters=filters), INNER, device=CPU, strategy=strategy, **options)


@pytest.mark.usefixtures("cache_dir")
def test_an_engine_that_compiles_says_so_and_stops_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiled, "_loaded", {})
    said: list[str] = []
    for strategy in ("auto", "native"):
        with pytest.raises(Interrupted):
            Engine(
                NETWORK,
                INNER,
                device=CPU,
                strategy=strategy,
                say=said.append,
                should_stop=lambda: True,
            )
    assert said == 2 * ["compiling the kernels for this processor, once"]
    Engine(NETWORK, INNER, device=CPU, strategy="analytic", say=said.append)
    assert len(said) == 2
