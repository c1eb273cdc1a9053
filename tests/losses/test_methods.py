"""Names of methods become losses with weights; a name for a sum is that sum."""

from collections.abc import Callable

import pytest
import torch

from lookright.config import TrainConfig
from lookright.errors import ConfigError
from lookright.losses import (
    CYBORG,
    METHODS,
    RES,
    Evidence,
    Objective,
    Outside,
    RobustViT,
    SoftIoU,
    Term,
    build_objective,
    parse_method,
)
from lookright.specification import parse_sum
from lookright.types import Normalization, Request, Score, Target, Task

NAN = float("nan")


def written(method: str) -> str:
    return " + ".join(map(str, parse_method(TrainConfig(method=method))))


SUM = METHODS["auto"].sum
FIT = "soft-iou(score='logit', images=100)"
WEIGHT = parse_sum("method", SUM)[3].weight


@pytest.mark.parametrize(
    ("method", "meant"),
    [
        ("auto", f"complete + isolate + evidence + {WEIGHT}*{FIT}"),
        (
            "0.5*auto",
            f"complete + isolate + 0.5*evidence + {0.5 * WEIGHT}*{FIT}",
        ),
        ("0*auto", f"complete + isolate + 0.0*evidence + 0.0*{FIT}"),
        (
            "hint + 4*auto",
            f"hint + complete + isolate + 4.0*evidence + {4 * WEIGHT}*{FIT}",
        ),
        ("res-g + complete", "res-g + complete"),
        ("soft-iou", "soft-iou"),
    ],
)
def test_a_name_for_a_sum_is_spelled_out(method: str, meant: str) -> None:
    assert written(method) == meant
    assert written(meant) == meant


def test_losses_of_the_recommended_method() -> None:
    evidence, overlap = build_objective(TrainConfig(method="auto", explanation_weight=0.1), 32).terms
    assert isinstance(evidence.loss, Evidence)
    assert isinstance(overlap.loss, SoftIoU)
    assert (evidence.weight, overlap.weight) == pytest.approx((0.1, 0.1 * WEIGHT))
    assert evidence.loss.request.score is Score.CONTRAST
    assert overlap.loss.request.score is Score.LOGIT
    assert overlap.loss.request.normalization is Normalization.MIN_MAX


@pytest.mark.parametrize("method", [name for name, info in METHODS.items() if info.sum])
def test_every_name_for_a_sum(method: str) -> None:
    parts = parse_method(TrainConfig(method=method))
    assert parts == parse_method(TrainConfig(method=METHODS[method].sum))
    assert all(part.name in METHODS and not METHODS[part.name].sum for part in parts), "no sum of sums"


def test_a_sum_has_no_options() -> None:
    with pytest.raises(ConfigError, match=r"auto has no options; it stands for 'complete .*: write that"):
        parse_method(TrainConfig(method="auto(slack=0.1)"))


@pytest.mark.parametrize("score", ["contrast", "logit"])
def test_soft_iou_of_a_score(score: str) -> None:
    """The score is what the explainer is asked for; the loss of a map is the same."""
    (term,) = build_objective(TrainConfig(method=f"soft-iou(score={score})"), 32).terms
    assert term.loss.request.score is Score(score)
    assert SoftIoU().request.score is Score.CONTRAST, "one loss's choice is not that of others"
    maps, marks = torch.rand(3, 1, 4, 4), (torch.rand(3, 1, 4, 4) > 0.5).float()
    assert torch.equal(SoftIoU(score)(maps, marks), SoftIoU()(maps, marks))


@pytest.mark.parametrize(
    ("training_images", "weight"), [(None, 3.0), (10, 3.0), (100, 3.0), (200, 1.5), (1200, 0.25)]
)
def test_the_fit_of_the_map_counts_as_much_as_so_many_images(
    training_images: int | None, weight: float
) -> None:
    """As prior knowledge it does not grow with the data; the other losses keep their weights."""
    config = TrainConfig(method="evidence + 3*soft-iou(images=100)")
    evidence, overlap = build_objective(config, 32, images=training_images).terms
    assert (evidence.weight, overlap.weight) == (1.0, pytest.approx(weight))
    _, whole = build_objective(TrainConfig(method="evidence + 3*soft-iou"), 32, images=1200).terms
    assert whole.weight == 3.0


def test_full_weight_for_no_image() -> None:
    with pytest.raises(ConfigError, match="images: got 0, need 1 or more"):
        build_objective(TrainConfig(method="soft-iou(images=0)"), 32)


def test_score_of_the_command_line_wins() -> None:
    config = TrainConfig(method="auto", score="log-probability")
    assert {term.loss.request.score for term in build_objective(config, 32).terms} == {Score.LOG_PROBABILITY}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Evidence("nowhere"), "outside: got 'nowhere', choose one of complement, negative"),
        (lambda: SoftIoU("loud"), "score: got 'loud', choose one of contrast, logit"),
        (lambda: SoftIoU(Score.RUNNER_UP), "score: got 'runner-up', choose one of contrast, logit"),
        (
            lambda: RES(normalize="mean"),
            "normalize: got 'mean', choose one of none, min-max, relu-max, max-abs",
        ),
        (lambda: RES("s1"), "imputer: got 's1', need an Imputer: AsDrawn"),
        (lambda: Request(score="loud"), "score: got 'loud', choose one of logit, "),
        (lambda: Request(target=1), "target: got 1, choose one of label, predicted"),
        (lambda: Objective(task="ranking"), "task: got 'ranking', choose one of single-label"),
        (lambda: Objective([RES()]), r"terms: got RES, need a loss with its weight: Term\(RES\(\)"),
        (lambda: Objective([Term(Term(RES()))]), r"terms: got Term\(Term\(RES\)\), need a loss"),
        (lambda: Objective(Term(RES())), r"terms: got one Term\(RES\), need a list"),
        (lambda: Objective(RES()), "terms: got one RES, need a list"),
        (lambda: Objective([Term(RES(), NAN)]), "explanation weight: got nan, need 0 or more"),
        (lambda: RES(slack=NAN), "slack: got nan, need 0 or more"),
        (lambda: RES(regularizer=NAN), "regularizer: got nan, need 0 or more"),
        (lambda: RES(threshold=NAN), "threshold: got nan, need a number"),
        (lambda: CYBORG(NAN), "alpha: got nan"),
        (lambda: RobustViT(background=NAN), "got 0.3, nan, 0.8, 0.2, need 0 or more each"),
    ],
)
def test_arguments_that_no_loss_can_have(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make()


def test_an_enum_can_be_given_by_its_value() -> None:
    evidence = Evidence("negative")
    assert evidence.outside is Outside.NEGATIVE
    assert not evidence.counts_unmarked
    marks = torch.tensor([[[[1.0, 0.0, 0.0]]]])
    assert not evidence.cells(marks).any(), "no negative mark: nothing is outside"
    assert RES(normalize="max-abs").request == RES(normalize=Normalization.MAX_ABS).request
    assert SoftIoU("logit").request == SoftIoU(Score.LOGIT).request
    assert Request("predicted", "contrast", "none") == Request(
        Target.PREDICTED, Score.CONTRAST, Normalization.NONE
    )
    assert Objective(task="regression").task is Task.REGRESSION
