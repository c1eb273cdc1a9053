"""Names of methods become losses with weights; a name for a sum is that sum."""

import pytest
import torch

from lookright.config import TrainConfig
from lookright.errors import ConfigError
from lookright.losses import METHODS, Evidence, SoftIoU, build_objective, parse_method
from lookright.specification import parse_sum
from lookright.types import Normalization, Score


def written(method: str) -> str:
    return " + ".join(map(str, parse_method(TrainConfig(method=method))))


SUM = METHODS["auto"].sum
WEIGHT = parse_sum("method", SUM)[3].weight


@pytest.mark.parametrize(
    ("method", "meant"),
    [
        ("auto", f"complete + isolate + evidence + {WEIGHT}*soft-iou(score='logit')"),
        ("0.5*auto", f"complete + isolate + 0.5*evidence + {0.5 * WEIGHT}*soft-iou(score='logit')"),
        ("0*auto", "complete + isolate + 0.0*evidence + 0.0*soft-iou(score='logit')"),
        ("hint + 4*auto", f"hint + complete + isolate + 4.0*evidence + {4 * WEIGHT}*soft-iou(score='logit')"),
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


def test_score_of_the_command_line_wins() -> None:
    config = TrainConfig(method="auto", score="log-probability")
    assert {term.loss.request.score for term in build_objective(config, 32).terms} == {Score.LOG_PROBABILITY}
