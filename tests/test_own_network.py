"""``network.module``: the user's own network, from import to a run that is used again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from mamltui.adapted import Trained, adapt
from mamltui.cli import main
from mamltui.errors import CheckpointError, ProfileError, UsageError
from mamltui.evaluation import evaluate_run
from mamltui.events import Notice, Step
from mamltui.learner import learner_of, plain_network, with_way
from mamltui.maml import outer
from mamltui.maml.evaluate import score
from mamltui.maml.inner import InnerLoop
from mamltui.maml.own_network import ModuleNetwork
from mamltui.maml.strategies.autograd import Autograd
from mamltui.maml.verify import run_verification
from mamltui.profiles import Profile, parse_profile
from mamltui.runs import RunFolder, load_checkpoint
from tests.training.small import (
    CPU,
    PROFILE,
    assert_same_training,
    interrupted,
    make_bank,
    make_run,
    make_trainer,
    train,
)

MODULES = "tests.own_networks"
BASE = PROFILE.replace("network.filters = 4\n", "")


def own(name: str, *overrides: str) -> Profile:
    """The small training with a network of this module of tests."""
    return parse_profile(BASE, "small", [f"network.module={MODULES}:{name}", *overrides])


def network_of(name: str, *overrides: str) -> ModuleNetwork:
    network = learner_of(own(name, *overrides), make_bank()).network
    assert isinstance(network, ModuleNetwork)
    return network


# ---- The gradient ----


@pytest.mark.parametrize("name", ["Plain", "Everything"])
def test_verify_proves_the_second_order_gradient(name: str) -> None:
    network = plain_network(own(name, "task.way=3"), make_bank())
    report = run_verification(CPU, network=network)
    assert report.trusted, [(check.name, check.relative_difference) for check in report.checks]
    assert {check.name for check in report.checks} == {
        "autograd, 1 inner step, float64",
        "autograd, 1 inner step, float32",
        "autograd, 3 inner steps, float64",
        "autograd, 3 inner steps, float32",
        "Algorithm 2 against finite differences",
    }
    assert f"{MODULES}:{name}" in report.sentence
    assert report.vmap is None


def test_verify_finds_a_wrong_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of("Plain")
    exact = Autograd.tangent_backward

    def wrong(self: Autograd, *args: Any) -> Any:
        return {name: 1.001 * value for name, value in exact(self, *args).items()}

    monkeypatch.setattr(Autograd, "tangent_backward", wrong)
    assert not run_verification(CPU, network=network).trusted


def test_verify_names_a_profile(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        f'network.module = "{MODULES}:Plain"\nnetwork.arguments.width = 5\n'
    )
    assert main(["verify", str(tmp_path / "mine.toml"), "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "Second-order gradients of tests.own_networks:Plain" in printed
    assert "WRONG" not in printed


def test_statistics_of_the_support_set_are_those_of_torch() -> None:
    """A query set alone in its batch is scored as torch's layer in evaluation mode does."""
    network = network_of("Everything")
    values = network.initial_parameters(3)
    generator = torch.Generator().manual_seed(0)
    support, query = (torch.rand(2, 6, 1, 8, 8, generator=generator) for _ in range(2))
    _, statistics = network.apply(values, support)
    got, _ = network.apply(values, query, statistics=statistics)
    assert len(statistics) == 2  # its one layer is called twice
    module = network.plain_module()
    module.load_state_dict(values, strict=False)
    for task in range(2):
        seen = iter(statistics)

        def normalise(_: Any, args: Any, seen: Any = seen, task: int = task) -> torch.Tensor:
            mean, variance = next(seen)
            norm = module.get_submodule("norm")
            return torch.nn.functional.batch_norm(
                args[0], mean[task, 0], variance[task, 0], norm.weight, norm.bias, eps=norm.eps
            )

        hook = module.get_submodule("norm").register_forward_hook(
            lambda layer, args, _, normalise=normalise: normalise(layer, args)
        )
        with torch.no_grad():
            assert torch.allclose(module(query[task]), got[task], atol=1e-5)
        hook.remove()


def test_every_task_is_by_itself_and_repeats_to_the_bit() -> None:
    profile = own("Everything")
    learner = learner_of(profile, make_bank())
    from mamltui.maml.calibration import Shape, random_episodes

    episodes = random_episodes(learner.network, Shape(3, 6, 3), CPU)
    parameters = learner.initial_parameters(1)
    whole = score(learner.network, learner.inner, parameters, episodes, steps=2, task_chunk=3)
    single = score(learner.network, learner.inner, parameters, episodes, steps=2, task_chunk=1)
    assert torch.equal(whole.transductive.loss, single.transductive.loss)
    gradient, again = (
        outer.meta_gradient(learner.network, learner.inner, parameters, episodes, Autograd)
        for _ in range(2)
    )
    assert all(torch.equal(value, again.gradient[n]) for n, value in gradient.gradient.items())
    constants = {"scale", "frozen.weight", "frozen.bias"}
    assert set(gradient.drift) == constants
    assert not any(value.any() for value in gradient.drift.values())


def test_parameters_are_those_of_the_constructor_and_a_function_of_the_seed() -> None:
    state = torch.get_rng_state()
    network = network_of("Everything")
    first, again, other = (network.initial_parameters(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["stem.weight"], other["stem.weight"])
    assert not torch.equal(first["scale"], other["scale"])
    assert "second.weight" not in first  # it is again.weight
    assert network.head_names() == ("head.weight", "head.bias")
    assert network.tracked() == ("frozen.weight", "frozen.bias", "scale")


# ---- What is refused ----


REFUSED = {
    "Missing": "tests.own_networks has no class Missing",
    "number": "number is not a class of torch modules",
    "function": "function is not a class of torch modules",
    "Abstract": "Abstract is abstract",
    "Fails": "it cannot be constructed: OSError: no such weights",
    "WrongShape": "of 6 images it gives torch.float32 [6, 2], not floating point [6, 3]",
    "NotATensor": "it returns a dict, not a tensor [images, 3]",
    "KeepsCount": "it changes its buffer count as it computes",
    "Random": "it gives another output each time",
    "OnceOnly": "it cannot be differentiated twice, which MAML needs",
    "FunctionalNorm": "depends on the other images by something else",
    "Detached": "its output does not depend on its parameters",
    "Lazy": "its parameter out.weight has no shape yet",
    "Wide": "it cannot compute 6 images of 1x8x8: RuntimeError: mat1 and mat2",
    "Nothing": "it has no parameter that takes a gradient",
    "RateNamed": "its parameter rate.weight has a name that learned step sizes begin with",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_meta_learned_is_refused_before_training(name: str) -> None:
    with pytest.raises(UsageError) as error:
        learner_of(own(name), make_bank())
    assert REFUSED[name] in str(error.value)
    assert f"network.module = {MODULES}:{name}" in str(error.value)


def test_a_module_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match="there is no Python module nowhere_to_be_found"):
        learner_of(
            parse_profile(BASE, "small", ["network.module=nowhere_to_be_found:Net"]), make_bank()
        )


def test_wrong_arguments_show_what_the_constructor_takes() -> None:
    with pytest.raises(UsageError, match="unexpected keyword argument 'depth'") as error:
        learner_of(own("Plain", "network.arguments={depth = 3}"), make_bank())
    assert "way=3, channels=1, image_size=8, depth=3" in str(error.value)
    assert "(way: 'int', channels: 'int', image_size: 'int', width: 'int' = 6)" in str(error.value)


def test_arguments_reach_the_constructor_and_go_before_what_is_offered() -> None:
    shapes = network_of("Plain", "network.arguments={width = 9}").parameter_shapes()
    assert shapes["hidden.weight"] == (9, 64)
    with pytest.raises(UsageError, match=r"\[6, 4\], not floating point \[6, 3\]"):
        learner_of(own("Plain", "network.arguments={way = 4}"), make_bank())


def test_first_order_does_with_the_first_derivative() -> None:
    assert network_of("OnceOnly", "algorithm=fomaml").parameter_count() > 0


def test_head_and_body_are_told_apart_where_they_can_be() -> None:
    learner = learner_of(own("Plain", "algorithm=anil"), make_bank())
    assert learner.inner.adapted(learner.network) == ("out.weight", "out.bias")
    learner = learner_of(own("Plain", "algorithm=boil"), make_bank())
    assert learner.inner.adapted(learner.network) == ("hidden.weight", "hidden.bias")
    with pytest.raises(UsageError, match="its last layer is not a linear one with 3 outputs"):
        learner_of(own("NoHead", "algorithm=anil"), make_bank())


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("network.filters=8", "it is of the built-in network"),
        ("algorithm=proto-maml", "proto-maml is for the built-in network alone"),
        ("algorithm=meta-curvature", "meta-curvature is for the built-in network alone"),
        ("plus.per_step_norm=true", "the built-in network's normalisation"),
        ("task.test_way=2", "is constructed for 3 classes"),
        ("network.module=nothing", "it is not the name of a class"),
        ("network.arguments={a = {b = 1}}", "a value in it is none of"),
        ("network.arguments=3", "this is not a table"),
    ],
)
def test_what_does_not_go_with_it_is_said_of_the_profile(override: str, words: str) -> None:
    with pytest.raises(ProfileError, match=words):
        own("Plain", override)


def test_arguments_without_a_module_are_no_profile() -> None:
    with pytest.raises(ProfileError, match="which is not given"):
        parse_profile(BASE, "small", ["network.arguments={a = 1}"])


def test_arguments_come_back_from_the_written_profile() -> None:
    profile = own("Plain", 'network.arguments={b = [1, 2.5, ["x"]], a = "say \\"so\\"", c = true}')
    assert parse_profile(profile.to_toml(), "again") == profile.model_copy(update={"name": "small"})
    assert 'arguments = {a = "say \\"so\\"", b = [1, 2.5, ["x"]], c = true}' in profile.to_toml()


# ---- Training and what comes after it ----


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    run = make_run(tmp_path_factory.mktemp("own"), own("Everything"))
    train(run)
    return run


def test_a_training_learns_and_says_how_it_uses_the_module(tmp_path: Path) -> None:
    run = make_run(tmp_path, own("Everything"))
    events = train(run)
    steps = [event for event in events if isinstance(event, Step)]
    assert len({step.query_loss for step in steps}) == len(steps)
    told = " ".join(event.message for event in events if isinstance(event, Notice))
    assert "its 1 batch normalisation take the statistics of the images at hand" in told
    assert "its 1 dropout are off" in told
    assert "3 tensors without a gradient stay as they are: frozen.weight" in told
    start = learner_of(run.profile, make_bank()).initial_parameters(5)
    end = run.load_checkpoint("last").parameters
    assert torch.equal(start["scale"], end["scale"])
    assert torch.equal(start["frozen.weight"], end["frozen.weight"])
    assert not torch.equal(start["stem.weight"], end["stem.weight"])


def test_a_resumed_training_is_an_unbroken_one_to_the_bit(
    trained: RunFolder, tmp_path: Path
) -> None:
    broken = interrupted(tmp_path, Step, 6, own("Everything"))
    list(make_trainer(broken).train())
    assert_same_training(trained, broken)


@pytest.mark.parametrize("algorithm", ["fomaml", "anil", "boil", "meta-sgd", "reptile", "imaml"])
def test_other_algorithms_train_it(tmp_path: Path, algorithm: str) -> None:
    settings = [f"algorithm={algorithm}", "meta.iterations=2", "inner.alpha=0.05"]
    run = make_run(tmp_path, own("Plain", *settings))
    assert train(run)[-1].iteration == 2


def test_it_is_evaluated_and_adapted(trained: RunFolder) -> None:
    evaluation = evaluate_run(trained, bank=make_bank(), steps=(0, 2), episodes=6, device=CPU)
    assert evaluation.module == "tests.own_networks:Everything"
    loaded = Trained.load(trained)
    images = make_bank().images[:3, :2].flatten(0, 1).float() / 255
    adapted = adapt(loaded, images, [0, 0, 1, 1, 2, 2], every_step=True)
    assert adapted.statistics == "support statistics"
    for transductive in (False, True):
        found = adapted.predict(images, transductive=transductive)
        assert torch.allclose(found.sum(dim=1), torch.ones(6).double())
    with pytest.raises(UsageError, match="answers for its 3 classes alone"):
        with_way(loaded.learner, loaded.parameters, 2)


def test_it_is_handed_out_as_a_module(tmp_path: Path) -> None:
    run = make_run(
        tmp_path,
        parse_profile(
            BASE,
            "small",
            [
                "network.module=mamltui.examples:SmallResNet",
                "network.arguments={width = 2}",
                "meta.iterations=2",
            ],
        ),
    )
    train(run)
    images = make_bank().images[:3, :2].flatten(0, 1).float() / 255
    adapted = adapt(Trained.load(run, "last"), images, [0, 0, 1, 1, 2, 2])
    for transductive in (False, True):
        module = adapted.module(transductive=transductive)
        with torch.no_grad():
            logits = module(images[:4])
        found = adapted.predict(images[:4], transductive=transductive)
        assert torch.allclose(logits.double().softmax(dim=1), found, atol=1e-6)


def test_checkpoints_have_its_names_and_say_which_tensor_differs(trained: RunFolder) -> None:
    path = trained.checkpoint_path("best")
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert header["parameters/stem.weight"]["shape"] == [4, 1, 3, 3]
    other = learner_of(own("Everything", "task.way=4"), make_bank())
    with pytest.raises(
        CheckpointError, match=r"head\.weight: \[3, 4\] in the checkpoint, \[4, 4\]"
    ):
        load_checkpoint(path, other)


# ---- Weights from a file ----


def test_a_training_starts_with_weights_from_a_file(tmp_path: Path) -> None:
    network = network_of("Everything")
    given = {name: value.clone() for name, value in network.initial_parameters(9).items()}
    module = network.plain_module()
    module.load_state_dict(given, strict=False)
    torch.save({"state_dict": module.state_dict(), "epoch": 3}, tmp_path / "start.pt")
    save_file(given, tmp_path / "start.safetensors")
    for name in ("start.pt", "start.safetensors"):
        profile = own(
            "Everything",
            f"network.weights={tmp_path / name}",
            "meta.optimizer=sgd",
            "meta.learning_rate=1e-30",
            "meta.iterations=1",
        )
        run = make_run(tmp_path / name.replace(".", "-"), profile)
        told = [event.message for event in train(run) if isinstance(event, Notice)]
        assert any(f"starting with the weights of {tmp_path / name}" in text for text in told)
        end = run.load_checkpoint("last").parameters
        assert all(torch.allclose(end[each], value) for each, value in given.items())


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    def refusal(values: dict[str, torch.Tensor]) -> str:
        save_file(values, tmp_path / "w.safetensors")
        profile = own("Plain", f"network.weights={tmp_path / 'w.safetensors'}")
        with pytest.raises(UsageError) as error:
            list(make_trainer(make_run(tmp_path / "runs", profile)).train())
        return str(error.value)

    whole = network_of("Plain").initial_parameters(0)
    less = {name: value for name, value in whole.items() if name != "out.bias"}
    assert "it lacks out.bias" in refusal(less)
    assert "it holds more, which the network has not" in refusal(whole | {"more": torch.ones(1)})
    wrong = refusal(whole | {"out.weight": torch.ones(5, 6)})
    assert "out.weight has shape [5, 6] in the file and [3, 6] in the network" in wrong
    assert "not of tests.own_networks:Plain of 4 tensors, 3-way" in wrong


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save(network_of("Plain").plain_module(), tmp_path / "whole.pt")
    profile = own("Plain", f"network.weights={tmp_path / 'whole.pt'}")
    with pytest.raises(UsageError, match="loading that would run code"):
        list(make_trainer(make_run(tmp_path / "runs", profile)).train())


# ---- Code that a stored run names ----


def test_no_code_is_imported_to_list_or_show_a_stored_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a stranger names a module: who looks at it runs nothing of it."""
    place = tmp_path / "place"
    place.mkdir()
    source = "\n".join(
        ["from tests.own_networks import Plain", "open('imported', 'w').close()", "Net = Plain"]
    )
    (place / "strange_net.py").write_text(source)
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    run = make_run(place / "runs", parse_profile(BASE, "small", ["network.module=strange_net:Net"]))
    train(run)
    evaluate_run(run, bank=make_bank(), steps=(1,), episodes=4, device=CPU)
    assert (place / "imported").exists()
    (place / "imported").unlink()
    commands = [
        ["runs", "list"],
        ["runs", "show", run.name],
        ["runs", "compare", run.name, run.name],
        ["profiles", "validate", str(run.path / "profile.toml")],
        ["runs", "export", run.name, "--csv", "-"],
    ]
    script = f"""
import sys
from mamltui.cli import main
for command in {commands!r}:
    code = main([*command])
    assert code in (0, 2), (command, code)
from mamltui.runs import find_run
find_run({run.name!r}).load_checkpoint("best")
assert "strange_net" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (place / "imported").exists()


def test_a_run_whose_module_is_gone_says_so_where_it_would_compute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "gone_net.py").write_text("from tests.own_networks import Plain as Net\n")
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    run = make_run(place / "runs", parse_profile(BASE, "small", ["network.module=gone_net:Net"]))
    train(run)
    (place / "gone_net.py").unlink()
    monkeypatch.delitem(sys.modules, "gone_net")
    for compute in (
        lambda: evaluate_run(run, bank=make_bank(), steps=(1,), episodes=4, device=CPU),
        lambda: Trained.load(run),
        lambda: list(make_trainer(run).train()),
    ):
        with pytest.raises(UsageError, match="there is no Python module gone_net"):
            compute()


def test_inner_loops_of_it_learn_step_sizes() -> None:
    network = network_of("Plain")
    rates = InnerLoop(2, 0.1, rates="per-step").rate_shapes(network)
    assert rates["rate.hidden.weight"] == (2,)
