"""What a profile is: its sections, their keys with defaults, units and limits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from mamltui.profiles.arguments import ALLOWED_ARGUMENTS, parse_arguments
from mamltui.profiles.steps import ALLOWED_STEPS, parse_steps
from mamltui.score import ACCURACY, SQUARED_ERROR, Metric

if TYPE_CHECKING:
    from typing_extensions import Self

NAME_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$"
NAME_LENGTH = 60
PRINTABLE = r"^[^\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$"
"""No control characters, and none that turn the direction of what follows."""
SMALLEST, LARGEST = 2.0**-126, 3.4e38
"""Of single precision, at full accuracy."""

Steps = Annotated[
    tuple[int, ...],
    BeforeValidator(parse_steps),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer"}}]}
    ),
]
Arguments = Annotated[
    tuple[tuple[str, Any], ...],
    BeforeValidator(parse_arguments),
    WithJsonSchema({"type": "object"}),
]


def _unit(unit: str, **more: str) -> dict[str, Any]:
    """The unit of a key, in its JSON Schema, which is where all readers find it."""
    return {"unit": unit, **more}


class _Model(BaseModel):
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @field_validator("*", mode="after")
    @classmethod
    def _single_precision(cls, value: Any) -> Any:
        """Refuse what would be 0 or infinite in the numbers that networks compute with."""
        if isinstance(value, float) and value:
            if abs(value) < SMALLEST:
                raise ValueError(f"it is too small for single precision, below {SMALLEST:.2g}")
            if abs(value) > LARGEST:
                raise ValueError(f"it is too large for single precision, above {LARGEST:.2g}")
        return value


class DataSection(_Model):
    """What the tasks are made of: images, or sine waves."""

    set: Literal["strokes", "omniglot", "cifar-fs", "folder", "sinusoid"] = Field(
        "strokes",
        description="Data set: embedded drawn characters, Omniglot, CIFAR-FS, or your own images.",
        json_schema_extra=_unit("-"),
    )
    path: str = Field(
        "",
        max_length=4096,
        pattern=PRINTABLE,
        description='For set = "folder": the folder of class folders, seen from where you start.',
        json_schema_extra=_unit("folder"),
    )
    split: Literal[
        "auto",
        "finn",
        "antoniou",
        "background-evaluation",
        "strokes",
        "bertinetto",
        "folders",
        "proportional",
    ] = Field(
        "auto",
        description="Named split of the classes; auto is the data set's own.",
        json_schema_extra=_unit("-"),
    )
    rotations: bool = Field(
        True,
        description="Turn each class of a task by 0, 90, 180 or 270 degrees, as in the paper.",
        json_schema_extra=_unit("-"),
    )
    resize: Literal["nearest", "antialias"] = Field(
        "nearest",
        description="Scaling: nearest is binary as in the paper, antialias for greys and photos.",
        json_schema_extra=_unit("-"),
    )
    fit: Literal["stretch", "crop", "pad"] = Field(
        "stretch",
        description="What makes an image of a folder square: stretching, its middle, or margins.",
        json_schema_extra=_unit("-"),
    )
    unreadable: Literal["refuse", "leave-out"] = Field(
        "refuse",
        description="What becomes of images of a folder that cannot be read; either way all are "
        "named.",
        json_schema_extra=_unit("-"),
    )
    image_size: int = Field(
        28,
        ge=8,
        le=256,
        description="Height and width of the images.",
        json_schema_extra=_unit("pixels"),
    )


class AugmentSection(_Model):
    """Random changes of the drawings of training tasks, of each by itself; all off."""

    angle: float = Field(
        0.0,
        ge=0,
        le=180,
        description="Largest turn, either way.",
        json_schema_extra=_unit("degrees"),
    )
    shift: float = Field(
        0.0,
        ge=0,
        le=128,
        description="Largest shift along each axis, either way.",
        json_schema_extra=_unit("pixels"),
    )
    scale: float = Field(
        0.0,
        ge=0,
        le=0.9,
        description="Largest change of size: 0.1 scales by 0.9 to 1.1.",
        json_schema_extra=_unit("-"),
    )
    shear: float = Field(
        0.0,
        ge=0,
        le=60,
        description="Largest slant of an upright line, either way.",
        json_schema_extra=_unit("degrees"),
    )
    elastic: float = Field(
        0.0,
        ge=0,
        le=128,
        description="Elastic bending: root mean square of how far a pixel moves.",
        json_schema_extra=_unit("pixels"),
    )
    smoothness: float = Field(
        4.0,
        gt=0,
        le=256,
        description="Elastic bending: standard deviation of the Gaussian that smooths it.",
        json_schema_extra=_unit("pixels"),
    )

    @property
    def is_on(self) -> bool:
        """Whether any drawing is changed at all."""
        return any((self.angle, self.shift, self.scale, self.shear, self.elastic))


class TaskSection(_Model):
    """The shape of a task."""

    way: int = Field(
        5, ge=2, le=10_000, description="Classes of a task.", json_schema_extra=_unit("classes")
    )
    shot: int = Field(
        1,
        ge=1,
        le=10_000,
        description="Support drawings of a class.",
        json_schema_extra=_unit("drawings"),
    )
    query: int = Field(
        1,
        ge=1,
        le=10_000,
        description="Query drawings of a class; when left out, as many as shot, as in the paper.",
        json_schema_extra=_unit("drawings", default_text="same as shot"),
    )
    test_way: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Classes of a task in validation and test; 0: as many as way.",
        json_schema_extra=_unit("classes"),
    )
    test_shot: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Support drawings of a class in validation and test; 0: as many as shot.",
        json_schema_extra=_unit("drawings"),
    )
    test_query: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Query drawings of a class in validation and test; 0: as many as query.",
        json_schema_extra=_unit("drawings"),
    )

    @property
    def at_test(self) -> TaskSection:
        """The tasks of validation and test."""
        own = {name: getattr(self, f"test_{name}") for name in ("way", "shot", "query")}
        given = {name: value for name, value in own.items() if value}
        if not given:
            return self
        return self.model_copy(update=given | {f"test_{name}": 0 for name in given})

    @model_validator(mode="before")
    @classmethod
    def _query_follows_shot(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "query" not in values:
            shot = values.get("shot", 1)
            # A shot that is wrong is reported once, as the shot.
            if type(shot) is int and 1 <= shot <= 10_000:
                return {**values, "query": shot}
        return values


class NetworkSection(_Model):
    """The network; the defaults are the paper's convolutions, with four modules."""

    filters: int = Field(
        64,
        ge=1,
        le=1024,
        description="Filters of each convolution.",
        json_schema_extra=_unit("channels"),
    )
    layers: int = Field(
        4,
        ge=1,
        le=16,
        description="Modules of convolution, normalisation and ReLU; each halves the image.",
        json_schema_extra=_unit("modules"),
    )
    pooling: Literal["stride", "max"] = Field(
        "stride",
        description="How a module halves the image: convolution of stride 2, or 2x2 max-pooling.",
        json_schema_extra=_unit("-"),
    )
    normalisation: Literal["batch", "layer", "none"] = Field(
        "batch",
        description="Over the batch, over each image by itself, or none; then biases are adapted.",
        json_schema_extra=_unit("-"),
    )
    head: Literal["mean", "flatten"] = Field(
        "mean",
        description="What is classified: the spatial mean of the last module, or all of it.",
        json_schema_extra=_unit("-"),
    )
    module: str = Field(
        "",
        max_length=300,
        pattern=PRINTABLE,
        description='A network of your own, in place of all this: "package:Class", a torch module.',
        json_schema_extra=_unit("-"),
    )
    arguments: Arguments = Field(
        (),
        description="Of its constructor; way, channels and image_size are offered by name.",
        json_schema_extra=_unit("-", allowed_text=ALLOWED_ARGUMENTS),
    )
    weights: str = Field(
        "",
        max_length=4096,
        pattern=PRINTABLE,
        description="File of a state dict that training starts with; empty: random parameters.",
        json_schema_extra=_unit("file"),
    )


class InnerSection(_Model):
    """The adaptation to one task."""

    steps: int = Field(
        1,
        ge=0,
        le=1000,
        description="Gradient steps on the support set in training.",
        json_schema_extra=_unit("steps"),
    )
    test_steps: int = Field(
        3,
        ge=0,
        le=1000,
        description="Gradient steps on the support set in validation, and for the test's headline.",
        json_schema_extra=_unit("steps"),
    )
    alpha: float = Field(
        0.4,
        gt=0,
        description="Size of a gradient step.",
        json_schema_extra=_unit("step size"),
    )
    loss_scale: Literal["mean", "paper"] = Field(
        "mean",
        description="Inner loss: mean over the examples, or paper: their sum divided by shot.",
        json_schema_extra=_unit("-"),
    )
    proximal: float = Field(
        2.0,
        gt=0,
        le=1e6,
        description="iMAML: weight of the pull back to the meta-learned parameters.",
        json_schema_extra=_unit("-"),
    )
    cg_steps: int = Field(
        5,
        ge=1,
        le=100,
        description="iMAML: conjugate-gradient steps of the implicit meta-gradient.",
        json_schema_extra=_unit("steps"),
    )


class PlusSection(_Model):
    """The parts of MAML++ (Antoniou, Edwards and Storkey 2019), each by itself."""

    multi_step_loss: bool = Field(
        False,
        description="MSL: the query loss after every inner step counts, annealed to the last.",
        json_schema_extra=_unit("-"),
    )
    multi_step_iterations: int = Field(
        5_000,
        ge=1,
        le=100_000_000,
        description="MSL: from here on the last step's loss alone counts; paper: 10 epochs of 500.",
        json_schema_extra=_unit("iterations"),
    )
    derivative_annealing: bool = Field(
        False,
        description="DA: first order at the beginning, second order after.",
        json_schema_extra=_unit("-"),
    )
    first_order_iterations: int = Field(
        25_000,
        ge=1,
        le=100_000_000,
        description="DA: length of the first-order beginning; paper: 50 epochs of 500.",
        json_schema_extra=_unit("iterations"),
    )
    per_step_norm: bool = Field(
        False,
        description="BNWB: scale and shift of the normalisation for each inner step.",
        json_schema_extra=_unit("-"),
    )
    per_step_statistics: bool = Field(
        False,
        description="BNRS: normalise with running statistics for each step, not the batch's own.",
        json_schema_extra=_unit("-"),
    )
    learned_rates: bool = Field(
        False,
        description="LSLR: a learned step size for each parameter tensor and inner step.",
        json_schema_extra=_unit("-"),
    )


class MetaSection(_Model):
    """The meta-training."""

    batch: int = Field(
        32,
        ge=1,
        le=10_000,
        description="Tasks of a meta-iteration.",
        json_schema_extra=_unit("tasks"),
    )
    optimizer: Literal["adam", "sgd"] = Field(
        "adam",
        description="Outer optimizer: Adam, or plain gradient descent, which Reptile's rule is.",
        json_schema_extra=_unit("-"),
    )
    learning_rate: float = Field(
        0.001,
        gt=0,
        le=1e37,
        description="Learning rate of the outer optimizer.",
        json_schema_extra=_unit("step size"),
    )
    schedule: Literal["constant", "cosine", "linear"] = Field(
        "constant",
        description="How the learning rate goes to its end; cosine is CA of MAML++.",
        json_schema_extra=_unit("-"),
    )
    final_learning_rate: float = Field(
        0.00001,
        ge=0,
        le=1e37,
        description="Learning rate at the end of a cosine or linear schedule.",
        json_schema_extra=_unit("step size"),
    )
    warmup: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="The learning rate rises to its value over so many iterations.",
        json_schema_extra=_unit("iterations"),
    )
    weight_decay: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Decoupled weight decay (AdamW) of kernels and head.",
        json_schema_extra=_unit("1 / step size"),
    )
    clip_norm: float = Field(
        0.0,
        ge=0,
        le=1e37,
        description="The meta-gradient is made no longer than this; 0: left as it is.",
        json_schema_extra=_unit("L2 norm"),
    )
    clip_value: float = Field(
        0.0,
        ge=0,
        le=1e37,
        description="Each element of the meta-gradient is kept within plus and minus this; 0: not.",
        json_schema_extra=_unit("-"),
    )
    label_smoothing: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Part of the query loss's target that is spread over all classes.",
        json_schema_extra=_unit("-"),
    )
    iterations: int = Field(
        60_000,
        ge=1,
        le=100_000_000,
        description="Length of the training.",
        json_schema_extra=_unit("iterations"),
    )
    seed: int = Field(
        0,
        ge=0,
        le=2**63 - 1,
        description="Seed of the first parameters and of all episodes.",
        json_schema_extra=_unit("-", allowed_text="an integer from 0 to 2^63 - 1"),
    )
    start: str = Field(
        "",
        max_length=4096,
        pattern=PRINTABLE,
        description="Run whose best parameters the training begins with; empty: random ones.",
        json_schema_extra=_unit("run"),
    )
    start_part: Literal["all", "body", "head"] = Field(
        "all",
        description="What of that run is taken; the rest is random.",
        json_schema_extra=_unit("-"),
    )
    divergence_loss: float = Field(
        100.0,
        gt=1,
        description="Query loss at which the run counts as diverged; 1 is guessing.",
        json_schema_extra=_unit("ln(way)"),
    )


class ValidationSection(_Model):
    """The look at the validation classes during training."""

    interval: int = Field(
        500,
        ge=1,
        le=100_000_000,
        description="From one validation to the next.",
        json_schema_extra=_unit("iterations"),
    )
    episodes: int = Field(
        100,
        ge=2,
        le=1_000_000,
        description="Episodes of a validation.",
        json_schema_extra=_unit("episodes"),
    )
    criterion: Literal["accuracy", "loss"] = Field(
        "accuracy",
        description="What decides which checkpoint is the best.",
        json_schema_extra=_unit("-"),
    )
    patience: int = Field(
        0,
        ge=0,
        le=1_000_000,
        description="Early stopping after so many validations without a better one; 0: never.",
        json_schema_extra=_unit("validations"),
    )
    keep: int = Field(
        1,
        ge=1,
        le=100,
        description="How many of the best checkpoints are kept; several make an ensemble.",
        json_schema_extra=_unit("checkpoints"),
    )

    def is_out_of_patience(self, validated: int, best: int) -> bool:
        """Whether the best validation is ``patience`` or more of them before the latest.

        Args:
            validated: the meta-iteration of the latest.
            best: the meta-iteration of the best.
        """
        return 0 < self.patience <= (validated - best) / self.interval


class EvaluationSection(_Model):
    """The test after the training."""

    steps: Steps = Field(
        tuple(range(11)),
        description="Gradient steps after which the test is scored.",
        json_schema_extra=_unit("steps", allowed_text=ALLOWED_STEPS),
    )
    episodes: int = Field(
        600,
        ge=2,
        le=10_000_000,
        description="Episodes of the test.",
        json_schema_extra=_unit("episodes"),
    )


class RunSection(_Model):
    """What is kept of a run, and how often."""

    log_interval: int = Field(
        10,
        ge=1,
        le=100_000_000,
        description="From one line of metrics to the next.",
        json_schema_extra=_unit("iterations"),
    )
    checkpoint_interval: int = Field(
        500,
        ge=1,
        le=100_000_000,
        description="From one checkpoint to the next.",
        json_schema_extra=_unit("iterations"),
    )
    disk_patience: int = Field(
        360,
        ge=0,
        le=1_000_000,
        description="How long a training goes on while its files cannot be written; 0: not at all.",
        json_schema_extra=_unit("minutes"),
    )


class EngineSection(_Model):
    """How the work is done; but for the last digits no result depends on it, save ``precision``."""

    strategy: Literal["auto", "native", "graph", "analytic", "autograd"] = Field(
        "auto",
        description="Way to compute the meta-gradient; auto times those that apply here.",
        json_schema_extra=_unit("-"),
    )
    precision: Literal["fp32", "tf32", "bf16"] = Field(
        "fp32",
        description="Of the products in training: exact fp32, or TF32 or bfloat16, which are not.",
        json_schema_extra=_unit("-"),
    )
    task_chunk: int = Field(
        0,
        ge=0,
        le=10_000,
        description="Tasks worked on at once; 0: chosen for the cache, or a GPU's memory.",
        json_schema_extra=_unit("tasks"),
    )


class Head(_Model):
    """What stands above the sections."""

    name: str = Field(
        "profile",
        min_length=1,
        max_length=NAME_LENGTH,
        pattern=NAME_PATTERN,
        description="Name of the experiment, with which its run folders begin.",
        json_schema_extra=_unit(
            "-",
            default_text="the file's name",
            allowed_text=f"at most {NAME_LENGTH} letters, digits and _ . - (the first no . or -)",
        ),
    )
    description: str = Field(
        "",
        max_length=300,
        pattern=PRINTABLE,
        description="What the experiment is for, in one line.",
        json_schema_extra=_unit("-"),
    )
    algorithm: Literal[
        "maml",
        "fomaml",
        "anil",
        "boil",
        "meta-sgd",
        "meta-curvature",
        "alfa",
        "proto-maml",
        "reptile",
        "imaml",
        "protonet",
    ] = Field(
        "maml",
        description="What is meta-learned, and how; MAML++ is maml with switches of [plus].",
        json_schema_extra=_unit("-"),
    )


class Values(Head):
    """All that a profile says, each value allowed alone."""

    # Profiles are read section by section: what would check one as a whole is rarely needed.
    model_config = ConfigDict(defer_build=True)

    data: DataSection = DataSection()
    augment: AugmentSection = AugmentSection()
    task: TaskSection = TaskSection()
    network: NetworkSection = NetworkSection()
    inner: InnerSection = InnerSection()
    plus: PlusSection = PlusSection()
    meta: MetaSection = MetaSection()
    validation: ValidationSection = ValidationSection()
    evaluation: EvaluationSection = EvaluationSection()
    run: RunSection = RunSection()
    engine: EngineSection = EngineSection()

    @property
    def is_regression(self) -> bool:
        """Whether numbers are fitted, not images classified."""
        return self.data.set == "sinusoid"

    @property
    def metric(self) -> Metric:
        """What tells how well its tasks are solved."""
        return SQUARED_ERROR if self.is_regression else ACCURACY

    @property
    def shape(self) -> str:
        """Of a task in words: ``5-way 1-shot``, or of a wave ``10-shot``.

        It is that of the tasks which are scored; where others are trained on, they follow:
        ``5-way 1-shot (trained 20-way)``.
        """
        task, scored = self.task, self.task.at_test
        shape = shape_text(self.classes_of(scored), scored.shot)
        trained = [f"{task.way}-way"] * (task.way != scored.way)
        trained += [f"{task.shot}-shot"] * (task.shot != scored.shot)
        return f"{shape} (trained {' '.join(trained)})" if trained else shape

    @property
    def scored(self) -> Self:
        """The same with the tasks of validation and test as those that are trained on."""
        return self.model_copy(update={"task": self.task.at_test})

    def classes_of(self, task: TaskSection) -> int:
        """Of a task of this profile's data; 0 of a regression, which has none."""
        return 0 if self.is_regression else task.way


def shape_text(way: int, shot: int) -> str:
    """The shape of a task in words; 0 ways: it has no classes."""
    return f"{way}-way {shot}-shot" if way else f"{shot}-shot"
