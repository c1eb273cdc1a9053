"""What `lookright methods` says of every method and explainer is there, and true of its class."""

import inspect

import pytest

from lookright.config import TrainConfig
from lookright.describe import (
    Entry,
    describe_explainer,
    describe_method,
    find_entry,
    format_entry,
    write_document,
)
from lookright.describe.facts import SCALES, SCORES
from lookright.describe.terminal import WIDTH, format_overview
from lookright.errors import ConfigError
from lookright.explainers import EXPLAINERS, Explainer
from lookright.losses import METHODS, ExplanationLoss, build_objective
from lookright.types import Normalization, Request, Score

ENTRIES = [
    *(describe_method(info) for info in METHODS.values()),
    *(describe_explainer(name, kind) for name, kind in EXPLAINERS.items()),
]
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)


@every_entry
def test_nothing_is_left_out(entry: Entry) -> None:
    assert entry.summary
    if entry.name == "baseline":
        return
    assert entry.paper
    assert entry.cost
    is_no_loss = entry.name in ("ce", "exchange", "complete", "isolate")
    assert bool(entry.order) is not is_no_loss
    if entry.kind == "method" and not is_no_loss:
        assert entry.equation, f"{entry.name}: its docstring has no equation: indent it by four"
        assert "positive" in entry.uses or "negative" in entry.uses
        assert entry.explanation


@every_entry
def test_every_option_is_explained(entry: Entry) -> None:
    assert [option.name for option in entry.options if not option.text] == []


@every_entry
def test_fits_the_terminal(entry: Entry) -> None:
    text = format_entry(entry)
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "\n\n\n" not in text


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].loss], ids=str)
def test_every_option_can_be_given(name: str) -> None:
    """With its default the loss is the same as without."""
    options = [option for option in find_entry(name).options if option.default]
    given = ", ".join(f"{option.name}={option.default}" for option in options)
    plain, with_options = (
        [(type(term.loss), term.weight) for term in build_objective(config, 8, ("a", "b")).terms]
        for config in (TrainConfig(method=name), TrainConfig(method=f"{name}({given})"))
    )
    assert plain == with_options


def test_flags_are_options_of_train_with_the_same_default() -> None:
    flagged = [option for entry in ENTRIES for option in entry.options if option.flag]
    assert {option.flag for option in flagged} >= {"--slack", "--imputer", "--outside"}
    for option in flagged:
        assert repr(getattr(TrainConfig(), option.name)) == option.default


def test_what_an_explainer_is_given_is_not_an_option() -> None:
    given = set(inspect.signature(Explainer).parameters)
    assert not any(given & {option.name for option in e.options} for e in ENTRIES if e.kind == "explainer")
    assert [o.name for o in find_entry("smooth-grad").options] == ["samples", "noise", "chunk"]


def test_every_score_and_scale_has_words() -> None:
    assert set(SCORES) == set(Score)
    assert set(SCALES) == set(Normalization)


def test_the_overview_has_every_name_and_fits() -> None:
    text = format_overview()
    assert max(map(len, text.splitlines())) <= WIDTH
    starts = [line.split(" ")[0] for line in text.splitlines()]
    assert all(name in starts for name in (*METHODS, *EXPLAINERS))


@pytest.mark.parametrize(
    ("name", "needs"),
    [
        ("auto", ("positive",)),
        ("soft-iou", ("positive",)),
        ("rrr", ("negative",)),
        ("evidence", ()),
        ("res-g", ()),
        ("complete", ("positive",)),
        ("baseline", ()),
    ],
)
def test_a_sum_needs_the_marks_of_each_of_its_parts(name: str, needs: tuple[str, ...]) -> None:
    assert find_entry(name).needs == needs


def test_advice_names_what_works_with_the_marks_that_are_there() -> None:
    table = write_document().split("| you have | methods |")[1].split("\n\n")[0]
    rows = {line.split("|")[1].strip(): line for line in table.splitlines() if line.count("|") == 3}
    negative = rows["negative marks alone: where it must not be"]
    assert "`auto`" not in negative
    assert "`rrr`" in negative
    assert "`evidence`" in negative
    scribbles = rows["positive marks on a part of the evidence: points, scribbles"]
    assert scribbles.index("`auto`") < scribbles.index("`haics`")
    assert "`gals-match`" not in table


class OfMine(ExplanationLoss):
    """A loss of mine.

        L = 2 M

    Args:
        power: how hard
    """

    request = Request(explainer="input-gradient", normalization=Normalization.NONE, channels=True)
    uses = "negative"
    pools = True

    def __init__(self, power: float, *, sharp: bool = False) -> None:
        super().__init__()


class Bare(ExplanationLoss):
    def __init__(self, **options: object) -> None:
        super().__init__()


def test_a_class_of_ones_own() -> None:
    text = format_entry(find_entry(f"{__name__}.OfMine"))
    for line in (
        f"method {__name__}.OfMine: A loss of mine",
        "    L = 2 M",
        "explanation   input-gradient of the class's logit, not scaled, with its channels",
        "marks         negative (-)",
        "batch         pooled: what an image contributes depends on the other images of the batch",
        "derivatives   second order; first with --no-second-order, as much published code has it",
        "  power (needed)        how hard",
        "  sharp=False",
    ):
        assert line in text.splitlines()


def test_a_class_without_a_docstring() -> None:
    entry = find_entry(f"{__name__}.Bare")
    assert (entry.summary, entry.equation, entry.notes, entry.options) == ("", "", "", ())
    assert format_entry(entry).startswith(f"method {__name__}.Bare\n")


@pytest.mark.parametrize("name", ["json.dumps", "json.JSONDecoder", "lookright.types.Request"])
def test_neither_loss_nor_explainer(name: str) -> None:
    with pytest.raises(ConfigError, match=f"name: {name} is neither a class derived from"):
        find_entry(name)
