"""What is compared: settings, their base, and the variants that each change a thing or two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from mamltui.errors import UsageError

MULTI_STEP = "plus.multi_step_iterations"
FIRST_ORDER = "plus.first_order_iterations"
PAPER_SHARES = {MULTI_STEP: 0.1, FIRST_ORDER: 0.5}
"""Of all iterations, as Antoniou et al. have it: 10 and 50 epochs of 100."""


@dataclass(frozen=True)
class Setting:
    """A task, and what all its variants share unless they change it."""

    name: str
    title: str
    profile: str
    """Name of the packaged profile that the overrides change."""
    way: int
    shot: int
    overrides: tuple[str, ...]


SETTINGS = (
    Setting(
        name="5w1s",
        title="5-way 1-shot",
        profile="5way1shot",
        way=5,
        shot=1,
        overrides=(
            "inner.steps=3",
            "inner.test_steps=3",
            "inner.alpha=0.4",
            "inner.loss_scale=mean",
            "meta.batch=4",
            "meta.learning_rate=0.001",
        ),
    ),
    Setting(
        name="20w1s",
        title="20-way 1-shot",
        profile="20way1shot",
        way=20,
        shot=1,
        overrides=(
            "inner.steps=3",
            "inner.test_steps=3",
            "inner.alpha=0.4",
            "inner.loss_scale=mean",
            "meta.batch=2",
            "meta.learning_rate=0.001",
        ),
    ),
)


@dataclass(frozen=True)
class Variant:
    """What is changed against the base of its settings."""

    name: str
    text: str
    """In a few words, for tables."""
    group: str
    """One of ``GROUPS``."""
    overrides: tuple[str, ...]
    settings: tuple[str, ...] = ("5w1s", "20w1s")
    only_in: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """More overrides, by setting."""
    published: str | None = None
    """The method of ``mamltui/published.toml`` that it is nearest to."""

    def overrides_in(self, setting: Setting) -> tuple[str, ...]:
        """All that is changed against the packaged profile."""
        return (*setting.overrides, *self.overrides, *self.only_in.get(setting.name, ()))


GROUPS = {
    "base": "The base",
    "plus": "MAML++: each part alone, and together",
    "algorithms": "Other algorithms",
    "scale": "Loss scale and size of the inner step",
    "remedies": "Remedies: clipping, augmentation, weight decay",
    "network": "Network",
}

MSL = "plus.multi_step_loss=true"
DA = "plus.derivative_annealing=true"
NORM = "plus.per_step_norm=true"
STATISTICS = "plus.per_step_statistics=true"
LSLR = "plus.learned_rates=true"
CA = ("meta.schedule=cosine", "meta.final_learning_rate=0.00001")
CLIP = "meta.clip_norm=5"
AUGMENT = (
    "augment.angle=10",
    "augment.shift=1",
    "augment.scale=0.1",
    "augment.shear=10",
    "augment.elastic=1",
)
ONE, TWENTY = ("5w1s",), ("20w1s",)

BASE = "maml"
VARIANTS = [
    Variant(BASE, "MAML", "base", (), published="MAML"),
    Variant("msl", "+ multi-step loss (MSL)", "plus", (MSL,), ONE),
    Variant("da", "+ derivative-order annealing (DA)", "plus", (DA,), ONE),
    Variant("step-norm", "+ scale and shift per step (BNWB)", "plus", (NORM,), ONE),
    Variant("step-statistics", "+ running statistics per step (BNRS)", "plus", (STATISTICS,), ONE),
    Variant("lslr", "+ learned rates per tensor and step (LSLR)", "plus", (LSLR,), ONE),
    Variant("ca", "+ cosine annealing (CA)", "plus", CA, ONE),
    Variant(
        "plus",
        "MAML++: all six",
        "plus",
        (MSL, DA, NORM, STATISTICS, LSLR, *CA),
        published="MAML++",
    ),
    Variant("plus-batch", "MAML++ without running statistics", "plus", (MSL, DA, NORM, LSLR, *CA)),
    Variant(
        "fomaml",
        "first-order MAML",
        "algorithms",
        ("algorithm=fomaml",),
        published="first-order MAML",
    ),
    Variant("anil", "ANIL", "algorithms", ("algorithm=anil",), published="ANIL"),
    Variant("boil", "BOIL", "algorithms", ("algorithm=boil",), ONE),
    Variant("meta-sgd", "Meta-SGD", "algorithms", ("algorithm=meta-sgd",), published="Meta-SGD"),
    Variant(
        "reptile",
        "Reptile",
        "algorithms",
        (
            "algorithm=reptile",
            "meta.optimizer=sgd",
            "meta.learning_rate=1.0",
            "meta.schedule=linear",
            "meta.final_learning_rate=0",
            "inner.steps=8",
            "inner.test_steps=8",
            "inner.alpha=0.1",
        ),
        published="Reptile",
    ),
    Variant(
        "imaml",
        "iMAML",
        "algorithms",
        ("algorithm=imaml", "inner.steps=5", "inner.test_steps=5"),
        ONE,
    ),
    Variant(
        "protonet",
        "ProtoNet",
        "algorithms",
        ("algorithm=protonet", "inner.steps=0", "inner.test_steps=0", "evaluation.steps=0"),
    ),
    Variant(
        "paper-scale",
        "the paper's loss scale and alpha (on the mean: 2.0)",
        "scale",
        ("inner.loss_scale=paper",),
        only_in={"20w1s": ("inner.alpha=0.1",)},
    ),
    Variant(
        "alpha-0.1",
        "alpha 0.1 on the mean, as in many ports",
        "scale",
        ("inner.alpha=0.1",),
        TWENTY,
    ),
    Variant("clip-norm", "+ gradient no longer than 5", "remedies", (CLIP,), TWENTY),
    Variant(
        "clip-value",
        "+ gradient elements within 0.1",
        "remedies",
        ("meta.clip_value=0.1",),
        TWENTY,
    ),
    Variant("augmentation", "+ augmentation", "remedies", AUGMENT, TWENTY),
    Variant(
        "clip-augmentation",
        "+ augmentation and gradient no longer than 5",
        "remedies",
        (CLIP, *AUGMENT),
        TWENTY,
    ),
    Variant(
        "weight-decay", "+ weight decay 0.1 (AdamW)", "remedies", ("meta.weight_decay=0.1",), TWENTY
    ),
    Variant("max-pooling", "max-pooling, no strides", "network", ("network.pooling=max",), ONE),
]


@dataclass(frozen=True)
class Case:
    """A variant in a setting: what one trial times, and what is trained once for each seed."""

    setting: Setting
    variant: Variant

    @property
    def name(self) -> str:
        return f"{self.setting.name}-{self.variant.name}"

    @property
    def overrides(self) -> tuple[str, ...]:
        """Against the packaged profile, without what depends on the number of iterations."""
        return self.variant.overrides_in(self.setting)

    @property
    def shares(self) -> dict[str, float]:
        """Keys that are a share of all iterations."""
        switches = {MSL: MULTI_STEP, DA: FIRST_ORDER}
        return {
            key: PAPER_SHARES[key]
            for switch, key in switches.items()
            if switch in self.variant.overrides
        }

    @property
    def phases(self) -> list[tuple[float, tuple[str, ...]]]:
        """Stretches of a training that differ in speed: their share, and overrides to be in one."""
        ends = sorted({*self.shares.values(), 1.0})
        phases = []
        for begin, end in zip([0.0, *ends], ends, strict=False):
            held = (
                f"{key}={1 if share <= begin else 100_000_000}"
                for key, share in self.shares.items()
            )
            phases.append((end - begin, tuple(held)))
        return phases


def cases(only: Iterable[str] = ()) -> list[Case]:
    """All variants in their settings, or those named: ``5w1s``, ``maml`` or ``5w1s-maml``.

    Raises:
        UsageError: a name is none of them.
    """
    every = [
        Case(setting, variant)
        for setting in SETTINGS
        for variant in VARIANTS
        if setting.name in variant.settings
    ]
    names = {name for case in every for name in (case.setting.name, case.variant.name, case.name)}
    asked = set(only)
    if unknown := sorted(asked - names):
        raise UsageError(
            f"there is no {', '.join(unknown)}",
            where="--only",
            hint=f"A setting, a variant or both as in 5w1s-maml. Variants: "
            f"{', '.join(variant.name for variant in VARIANTS)}",
        )
    return [
        case
        for case in every
        if not asked or asked & {case.setting.name, case.variant.name, case.name}
    ]
