"""Every option of a run, with its default. The command line and YAML are made of these.

Nothing here imports torch, so that `lookright --help` answers at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

ImputerName = Literal["s1", "s2", "d1", "d2"]
TrainScope = Literal["all", "last-stage", "head"]
BestRule = Literal["performance", "reasonability", "both", "last"]
Precision = Literal["32", "bf16", "fp16"]


def option(default: Any, help: str) -> Any:
    """Declare a dataclass field with the help text that the command line shows."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class DataConfig:
    """What to read: photos, class labels, annotations, splits.

    Example:
        >>> DataConfig(data="photos", format="coco", annotations="instances.json").data.name
        'photos'
    """

    data: Path | None = option(
        None,
        "folder with images/<class>/ and, where there are any, masks/, negatives/ and split.csv; or shards",
    )
    annotations: Path | None = option(
        None, "file or folder of annotations in --format (default: the masks in DATA)"
    )
    format: str = option(
        "folders",
        "how the annotations are written: folders, coco, voc, labelme, label-studio, cvat, res, "
        "module.reader of your own, or webdataset: DATA holds the shards of 'lookright pack'",
    )
    positive_categories: list[str] = option(
        [],
        "coco, voc, labelme, label-studio, cvat: categories that mean 'look here' (default: all but the "
        "negative ones)",
    )
    negative_categories: list[str] = option([], "the same formats: categories that mean 'not here'")
    image_size: int = option(
        224, "images are resized to a square of this many pixels (not cropped: no mark is lost)"
    )
    combine: Literal["mean", "majority", "agreement"] = option(
        "majority", "several annotators: graded mean, majority, or majority weighed by agreement"
    )
    annotated_per_class: int | None = option(
        None, "use the annotations of N training images per class, chosen by --seed (default: all)"
    )
    train_per_class: int | None = option(None, "train on N images per class, chosen by --seed (default: all)")

    def __post_init__(self) -> None:
        for name in path_options(type(self)):  # a text is a path as well
            if isinstance(value := getattr(self, name), str):
                object.__setattr__(self, name, Path(value))


def path_options(config: type[DataConfig]) -> list[str]:
    """Names of the options that are files or folders.

    Example:
        >>> path_options(DataConfig)[:2]
        ['data', 'annotations']
    """
    return [field.name for field in fields(config) if "Path" in str(field.type)]


@dataclass(frozen=True)
class TrainConfig(DataConfig):
    """One training run.

    Example:
        >>> config = TrainConfig(data="photos", out="runs/one", method="auto", epochs=10)
        >>> config.epochs, config.schedule
        (10, 'cosine')
    """

    out: Path | None = option(None, "run folder to write; it must not exist yet")

    method: str = option(
        "res-g",
        "how explanations are supervised: a name ('lookright methods'), module.MyLoss of your own, or a sum "
        "such as 'res-g + 0.3*energy'",
    )
    explainer: str = option(
        "grad-cam", "what explains: a name ('lookright methods'), or module.MyCAM of your own"
    )
    explain: Literal["label", "predicted"] = option("label", "the class whose explanation is supervised")
    score: Literal["auto", "logit", "contrast", "runner-up", "log-probability"] = option(
        "auto", "what of that class is explained (auto: as the method says, mostly the logit)"
    )
    imputer: ImputerName = option("s1", "res-l: the learned imputer that completes annotations")
    explanation_weight: float = option(1.0, "weight of the explanation loss beside the prediction loss")
    weighting: Literal["gradient", "fixed"] = option(
        "gradient", "the weight is a ratio of gradients, measured at the start, or a fixed factor"
    )
    explanation_warmup: float = option(
        0.0, "share of the steps in which the explanation loss comes in, from 0 to its weight"
    )
    slack: float = option(0.1, "res: tolerance for inaccurate boundaries; 0 switches it off")
    threshold: float | None = option(
        None, "res: a fixed threshold on the explanation (default: the adaptive one)"
    )
    impute: bool = option(True, "res: complete incomplete annotations; false compares with them as drawn")
    regularizer: float = option(0.0, "res-l: weight that keeps the imputed annotation near the drawn one")
    published_init: bool = option(False, "res-l: initialise the imputer as the published code does")
    per_image: bool = option(False, "res: threshold and slack image by image, not over the batch")
    resize: Literal["area", "nearest"] = option(
        "area", "how marks reach the explanation's grid: thin ones survive, or as the published code does"
    )
    stop_gradient: bool = option(
        False, "res-l: the imputer does not chase the explanation; it learns from --regularizer alone"
    )
    outside: Literal["complement", "negative"] = option(
        "complement", "evidence: where no evidence may be, if nothing negative was marked"
    )
    overlap: float = option(0.0, "evidence: weight of the soft IoU added to it; 0 leaves it out")
    second_order: bool = option(
        True, "let the explanation loss reach the weights above the target layer; false is the published RES"
    )
    guard: bool = option(True, "check on the first step that the explanation loss reaches the weights")
    negatives_outside: float | None = option(
        None,
        "in training, mark as negative what lies farther than this share of the image from every positive "
        "mark, where nothing negative was marked",
    )
    corrupt: str | None = option(
        None,
        "an experiment: make the annotations of training rough: dilate, erode, jitter, polygon, box, drop, "
        "part, scribble, graded, binary, or several such as 'dilate(0.1) + drop(0.3)'",
    )
    gradient_at: str = option(
        "image",
        "where methods on input gradients take them: the image, a layer's NAME, or 'frozen': the features of "
        "the frozen part, which are computed once (a variant)",
    )
    target_layer: str | None = option(None, "name of the layer to explain (default: found by itself)")

    backbone: str = option(
        "tf_efficientnet_lite0", "timm name, torchvision:NAME, small_cnn, or module:function of your own"
    )
    weights: str = option(
        "bundled", "none, bundled (EfficientNet-Lite0, extra 'weights'), imagenet, or a FILE"
    )
    start: Path | None = option(None, "start from a classifier you have: a weights FILE or a RUN")
    train: TrainScope = option("last-stage", "which part of the network learns")

    batchnorm: Literal["auto", "train", "frozen"] = option(
        "auto", "statistics of BatchNorm: auto keeps the pretrained ones where part of the network is frozen"
    )
    cache_features: bool = option(True, "run the frozen part once per image, not once per epoch")
    cache_dir: Path | None = option(
        None, "folder where its features are kept for later runs (default: 'lookright cache' tells)"
    )
    cache_gb: float = option(4.0, "how large that folder may get; 0 keeps features in memory alone")
    compile: bool = option(
        False, "compile what runs before the target layer; needs a C++ compiler, and minutes before it pays"
    )

    epochs: int = option(30, "passes over the training images")
    batch_size: int = option(20, "images per step and device")
    accumulate: int = option(1, "steps whose gradients are added up before the weights move")
    optimizer: Literal["adamw", "adam", "sgd"] = option("adamw", "optimizer; sgd has a momentum of 0.9")
    lr: float = option(3e-4, "peak learning rate")
    weight_decay: float = option(1e-4, "weight decay")
    schedule: Literal["cosine", "constant"] = option("cosine", "learning rate over the run")
    warmup: float = option(0.05, "share of the steps in which the learning rate rises from 0")
    flip: bool = option(True, "mirror images (and their annotations) at random")
    best: BestRule = option(
        "performance",
        "which epoch is kept, measured on the validation images: performance (balanced accuracy; several "
        "labels: mean average precision; a number: R2), reasonability (IoU), their mean, or the last; epochs "
        "before explanations were supervised do not count",
    )
    validate_every: int = option(
        1, "measure the validation images after every N epochs, and the last; only such an epoch can be best"
    )
    patience: int | None = option(None, "stop after N epochs without a better one (default: never)")
    seed: int = option(0, "same seed, same machine: same run")
    precision: Precision = option("32", "arithmetic of the network; losses are always float32")
    devices: int = option(1, "processes to train with, one per GPU (on CPU: gloo)")
    nodes: int = option(1, "machines, each with --devices processes that torchrun or srun starts")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = option("auto", "where to train")
    workers: int = option(0, "processes that load images")
    tensorboard: bool = option(False, "also log to RUN/tensorboard (extra 'tensorboard')")
    resume: bool = option(False, "continue the run in --out where it stopped")


PRETRAINED = ("bundled", "imagenet")
"""weights that are called by a name"""

INCIDENTAL = ("out", "guard", "cache_dir", "cache_gb", "workers", "tensorboard", "resume")
"""Options of `TrainConfig` that change no result: where a run lies, what it checks, how fast it is."""


def option_name(name: str) -> str:
    """Name of an option in YAML: `from` is a keyword of Python, so its field has another name."""
    return "from" if name in ("start", "source") else name
