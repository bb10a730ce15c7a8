"""Published figures, and a run's headline beside them in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, get_args

import pytest

from mamltui.profiles import Profile, load_profile, method_of, packaged_profiles
from mamltui.results import compare_with_published, figures_of, published_figures
from mamltui.results.published import Comparison
from mamltui.score import SQUARED_ERROR
from tests.results.examples import evaluation, with_headline

TASKS = [(5, 1), (5, 5), (20, 1), (20, 5)]


def test_what_is_published_for_a_profile_is_of_the_tasks_it_is_scored_on() -> None:
    profile = load_profile("fast-5way5shot")
    assert (profile.task.way, profile.task.test_way) == (20, 5)
    assert "99.9 ± 0.1 %" in [figure.printed for figure in figures_of(profile)]


def beside(method: str, comparisons: list[Comparison]) -> Comparison:
    return next(item for item in comparisons if item.figure.method == method)


@pytest.mark.parametrize(
    ("method", "printed"),
    [
        ("MAML", ["98.7 ± 0.4 %", "99.9 ± 0.1 %", "95.8 ± 0.3 %", "98.9 ± 0.2 %"]),
        ("MAML, earlier study", ["93.99 %", "98.01 %", "80.92 %", "92.90 %"]),
        ("MAML++", ["99.47 %", "99.93 %", "97.65 %", "99.33 %"]),
        (
            "Meta-Curvature",
            ["99.77 ± 0.17 %", "99.79 ± 0.10 %", "97.86 ± 0.26 %", "99.24 ± 0.07 %"],
        ),
        (
            "Meta-Curvature, ensemble",
            ["99.97 ± 0.06 %", "99.89 ± 0.06 %", "99.12 ± 0.16 %", "99.65 ± 0.05 %"],
        ),
        (
            "iMAML, Hessian-free",
            ["99.50 ± 0.26 %", "99.74 ± 0.11 %", "96.18 ± 0.36 %", "99.14 ± 0.10 %"],
        ),
        (
            "first-order MAML, support statistics",
            ["91.8 ± 0.9 %", "98.1 ± 0.3 %", "89.6 ± 0.5 %", "96.4 ± 0.2 %"],
        ),
    ],
)
def test_figures_are_those_of_the_source_with_the_decimals_printed_there(
    method: str, printed: list[str]
) -> None:
    figures = {
        (f.way, f.shot): f.printed
        for f in published_figures()
        if f.method == method and f.data == "omniglot"
    }
    assert figures == dict(zip(TASKS, printed, strict=True))


def test_every_figure_names_its_source_and_is_a_percentage_or_an_error() -> None:
    for figure in published_figures():
        assert figure.source and figure.title and figure.method and figure.whose
        low, high = (0, 1) if figure.metric is SQUARED_ERROR else (50, 100)
        assert low < figure.value < high
        assert figure.interval is None or 0 < figure.interval < 5


def test_no_figure_is_listed_twice() -> None:
    keys = [(f.method, f.data, f.way, f.shot) for f in published_figures()]
    assert len(keys) == len(set(keys))


def test_recalled_figures_are_in_the_file_and_compared_with_nothing() -> None:
    recalled = {figure.method for figure in published_figures() if not figure.is_shown}
    assert recalled == {"ProtoNet"}
    for way, shot in TASKS:
        shown = compare_with_published(evaluation(way=way, shot=shot, query=shot))
        assert shown
        assert not recalled & {item.figure.method for item in shown}


def test_the_sentence_says_number_relation_source_and_whether_the_intervals_meet() -> None:
    comparison = beside("MAML", compare_with_published(evaluation()))
    assert comparison.sentence == (
        "98.21 ± 0.31 %: below the MAML paper's 98.7 ± 0.4 %, and the intervals meet "
        "[Finn, Abbeel and Levine 2017, Table 1]"
    )


@pytest.mark.parametrize(
    ("accuracy", "ci95", "words"),
    [
        (0.9900, 0.0031, "above the MAML paper's 98.7 ± 0.4 %, and the intervals meet"),
        (0.9870, 0.0031, "equal to the MAML paper's 98.7 ± 0.4 %, and the intervals meet"),
        # 98.00 + 0.30 is 98.30, where the published interval begins.
        (0.9800, 0.0030, "below the MAML paper's 98.7 ± 0.4 %, and the intervals meet"),
        (0.9800, 0.0029, "below the MAML paper's 98.7 ± 0.4 %, and the intervals do not meet"),
        (0.9950, 0.0030, "above the MAML paper's 98.7 ± 0.4 %, and the intervals do not meet"),
    ],
)
def test_intervals_meet_when_they_share_a_point(accuracy: float, ci95: float, words: str) -> None:
    comparisons = compare_with_published(with_headline(accuracy, ci95))
    assert beside("MAML", comparisons).words == words


@pytest.mark.parametrize(
    ("accuracy", "place"), [(0.9380, "inside"), (0.9399, "inside"), (0.9300, "outside")]
)
def test_a_figure_without_interval_lies_inside_or_outside_the_runs(
    accuracy: float, place: str
) -> None:
    comparisons = compare_with_published(with_headline(accuracy, 0.0031))
    words = beside("MAML, earlier study", comparisons).words
    assert words.endswith(
        f"student study's 93.99 %, which is given without interval and lies {place} this one"
    )


def test_what_is_compared_is_what_is_printed() -> None:
    # 98.2951 % is printed as 98.30, and there the published interval begins.
    comparison = beside("MAML", compare_with_published(with_headline(0.982951, 0.000049)))
    assert comparison.measured == "98.30 ± 0.00 %"
    assert comparison.meets


def test_the_headline_is_at_the_profiles_test_steps_even_where_another_step_is_better() -> None:
    better_later = evaluation(test_steps=1)
    assert max(item.score.value for item in better_later.transductive) > 0.9
    assert beside("MAML", compare_with_published(better_later)).value == Decimal("90.00")


def test_a_training_that_began_with_another_run_says_so_among_the_differences() -> None:
    begun = evaluation(started_from="the body of prototypes", train_way=20)
    differences = beside("MAML", compare_with_published(begun)).differences
    assert differences[:2] == (
        "trained on 20-way 1-shot tasks",
        "begun with the body of prototypes",
    )
    plain = beside("MAML", compare_with_published(evaluation())).differences
    assert not any(each.startswith("begun") for each in plain)


def test_means_that_the_query_set_refined_are_a_difference_where_queries_see_each_other() -> None:
    comparisons = compare_with_published(evaluation(head="refined"))
    words = "class means refined with the query set"
    assert words in beside("MAML", comparisons).differences
    assert words not in beside("Reptile, not transductive", comparisons).differences


def test_a_figure_without_transduction_stands_beside_the_support_statistics() -> None:
    comparisons = compare_with_published(evaluation())
    assert beside("Reptile, not transductive", comparisons).value == Decimal("93.21")
    assert beside("Reptile", comparisons).value == Decimal("98.21")


@pytest.mark.parametrize(
    "changes",
    [{"data": "strokes"}, {"data": "folder"}, {"way": 7}, {"shot": 3}],
    ids=["strokes", "folder", "way", "shot"],
)
def test_only_figures_of_the_same_data_way_and_shot_are_compared(changes: dict[str, Any]) -> None:
    assert compare_with_published(evaluation(**changes)) == []


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"class_split": "antoniou"}, "class split antoniou, theirs finn"),
        ({"rotations": False}, "no rotations, theirs with"),
        ({"resize": "antialias"}, "resize antialias, theirs nearest"),
        ({"image_size": 32}, "images of 32 pixels, theirs 28"),
        ({"query": 15}, "15 query images a class, theirs 1"),
        ({"filters": 32}, "32 filters, theirs 64"),
        ({"algorithm": "anil"}, "anil, theirs maml"),
        ({"iteration": 1_200}, "1,200 meta-iterations, theirs 60,000"),
        ({"split": "validation"}, "validation split, theirs test"),
        ({"checkpoint": "ensemble of 3"}, "an ensemble of 3 models, theirs a single model"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_departs_from_the_papers_protocol_is_named(
    changes: dict[str, Any], difference: str
) -> None:
    comparison = beside("MAML", compare_with_published(evaluation(**changes)))
    assert comparison.differences == (difference,)
    assert comparison.sentence.endswith(f"; {difference}")


@pytest.mark.parametrize(("way", "shot"), TASKS)
def test_the_papers_own_protocol_differs_in_nothing(way: int, shot: int) -> None:
    comparisons = compare_with_published(evaluation(way=way, shot=shot, query=shot))
    assert beside("MAML", comparisons).differences == ()


def test_what_a_source_does_not_say_is_named() -> None:
    comparisons = compare_with_published(evaluation())
    assert beside("MAML, earlier study", comparisons).differences == (
        "rotated classes, theirs not",
        "batch statistics not stated there",
    )


def test_a_run_on_cifar_fs_stands_beside_what_was_published_there() -> None:
    run = evaluation(
        data="cifar-fs",
        class_split="bertinetto",
        rotations=False,
        resize="antialias",
        image_size=32,
        filters=32,
        query=15,
    )
    comparison, alfa = compare_with_published(run)
    assert alfa.sentence == (
        "98.21 ± 0.31 %: above ALFA's 59.96 %, which is given without interval and lies outside "
        "this one [Baik, Choi, Choi, Kim and Lee 2020]; maml, theirs alfa; "
        "batch statistics not stated there"
    )
    assert comparison.sentence == (
        "98.21 ± 0.31 %: above MAML's 58.9 ± 1.9 %, and the intervals do not meet "
        "[Bertinetto, Henriques, Torr and Vedaldi 2019, as in Lee et al. 2019, Table 2]; "
        "batch statistics not stated there"
    )
    five = next(f for f in published_figures() if f.data == "cifar-fs" and f.shot == 5)
    assert five.printed == "71.5 ± 1.0 %"


def test_the_figure_with_support_statistics_says_how_it_was_trained() -> None:
    found = beside("first-order MAML, support statistics", compare_with_published(evaluation()))
    assert found.value == Decimal("93.21")
    assert found.differences == ("maml, theirs fomaml", "trained with support statistics there")


def test_the_algorithms_are_called_as_a_run_calls_its_own() -> None:
    known = {method_of(load_profile(name)) for name in packaged_profiles()}
    known |= set(get_args(Profile.model_fields["algorithm"].annotation))
    theirs = {figure.algorithm for figure in published_figures()}
    assert theirs - known <= {"alfa", "meta-curvature"}


@pytest.mark.parametrize(
    ("checkpoint", "differences"),
    [
        ("best", ("a single model, theirs an ensemble of 5 models",)),
        ("ensemble of 1", ("a single model, theirs an ensemble of 5 models",)),
        ("ensemble of 4", ("an ensemble of 4 models, theirs an ensemble of 5 models",)),
        ("ensemble of 5", ()),
    ],
)
def test_a_figure_of_an_ensemble_is_another_experiment_than_a_single_model(
    checkpoint: str, differences: tuple[str, ...]
) -> None:
    found = evaluation(
        checkpoint=checkpoint,
        class_split="antoniou",
        iteration=50_000,
        algorithm="maml + MSL + DA + BNWB + BNRS + LSLR + CA",
    )
    assert beside("MAML++", compare_with_published(found)).differences == differences
