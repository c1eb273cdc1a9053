"""The figures in the texts of docs/evidence are those of the tables that the commands wrote."""

import csv
from functools import cache
from pathlib import Path

import pytest

EVIDENCE = Path(__file__).parents[2] / "docs" / "evidence"

# A sentence of a document, the page whose table has its figures, and where: "value of each axis / measure".
SENTENCES = [
    (
        "README.md",
        "(worst group {:.2f}; best rival {:.2f}; plain {:.2f}; models that never saw a glyph",
        "default",
        [
            "decoy / 24 / auto / worst_group_accuracy",
            "decoy / 24 / best rival / worst_group_accuracy",
            "decoy / 100 / plain / worst_group_accuracy",
        ],
    ),
    (
        "README.md",
        "which it was not made on ([fresh.md](fresh.md)), it has {:.2f}, the best rival {:.2f}, plain "
        "{:.2f};",
        "fresh",
        [f"streets_marked / {entry} / accuracy" for entry in ("auto", "best rival", "plain")],
    ),
    (
        "README.md",
        "it is still ahead on average ({:.3f}, RES-G {:.3f}, plain {:.3f}; five seeds, hints; "
        "[budget.md](budget.md)); `10*gradia` has as good maps there, and loses accuracy ({:.3f})",
        "budget",
        [f"all / {method} / accuracy" for method in ("auto", "res-g", "baseline", "10*gradia")],
    ),
    (
        "README.md",
        "(IoU from {:.2f} to {:.2f} on the gender photos)",
        "default",
        ["gender_coco / 100 / plain / iou", "gender_coco / 24 / auto / iou"],
    ),
    (
        "findings.md",
        "has the same maps ({:.3f} and {:.3f}; {:.3f} and {:.3f}), at half the cost",
        "default",
        [
            f"{data} / 100 / {entry} / iou"
            for data in ("gender_coco", "people_on_streets")
            for entry in ("best rival", "auto")
        ],
    ),
    (
        "findings.md",
        "(worst group {:.2f} plain, {:.2f} and {:.2f} the best rival, {:.2f} and {:.2f} `auto`, with 24 "
        "and 100",
        "default",
        [
            "decoy / 100 / plain / worst_group_accuracy",
            *(
                f"decoy / {annotated} / {entry} / worst_group_accuracy"
                for entry in ("best rival", "auto")
                for annotated in (24, 100)
            ),
        ],
    ),
    (
        "findings.md",
        "Streets: accuracy {:.2f} plain, {:.2f} the best rival, {:.2f} `auto`; "
        "worst group {:.2f}, {:.2f}, {:.2f}; IoU {:.2f}, {:.2f}, {:.2f}, all clear. "
        "Cats and dogs leave next to nothing to gain: accuracy {:.3f}, {:.3f}, {:.3f}, "
        "clear against plain training alone; IoU {:.2f}, {:.2f}, {:.2f}, clear",
        "fresh",
        [
            f"{data} / {entry} / {measure}"
            for data, measures in (
                ("streets_marked", ("accuracy", "worst_group_accuracy", "iou")),
                ("pets_marked", ("accuracy", "iou")),
            )
            for measure in measures
            for entry in ("plain", "best rival", "auto")
        ],
    ),
    (
        "findings.md",
        "with 10 annotated the maps of `auto` have an IoU of {:.2f}, more than those of RES-G with all "
        "200 ({:.2f}; with 10: {:.2f})",
        "budget",
        ["10 / auto / iou", "200 / res-g / iou", "10 / res-g / iou"],
    ),
    (
        "findings.md",
        "accuracy {:.3f}, plain training {:.3f}, RES-G {:.3f}, `evidence` {:.3f}; IoU {:.2f}, RES-G "
        "{:.2f}, GRADIA {:.2f}",
        "budget",
        [f"all / {method} / accuracy" for method in ("auto", "baseline", "res-g", "evidence")]
        + [f"all / {method} / iou" for method in ("auto", "res-g", "gradia")],
    ),
    (
        "findings.md",
        "ten times the weight has {:.2f} with 10, {:.2f} with 24, {:.2f} with 100, and {:.2f} with 200, "
        "where `auto` has {:.2f}",
        "budget",
        [*(f"{budget} / 10*gradia / iou" for budget in (10, 24, 100, 200)), "200 / auto / iou"],
    ),
    (
        "findings.md",
        "has the best maps there ({:.2f}), and an accuracy of {:.3f}, below",
        "budget",
        ["all / 10*gradia / iou", "all / 10*gradia / accuracy"],
    ),
    (
        "findings.md",
        "with a fifth lost {:.2f}, RES-G {:.2f}; as drawn, {:.2f}, RES-G {:.2f}.",
        "corruption",
        [f"{kind} / {method} / iou" for kind in ("drop 20 %", "none") for method in ("auto", "res-g")],
    ),
    (
        "findings.md",
        "GRADIA's maps have an IoU of {:.2f} as drawn ({:.2f} with weight 1), RES-G's {:.2f} ({:.2f}), also "
        "where boundaries wander or have few corners, and boxes are learned best by that GRADIA ({:.2f}; "
        "`auto` {:.2f})",
        "corruption",
        [f"none / {method} / iou" for method in ("10*gradia", "gradia", "10*res-g", "res-g")]
        + [f"box / {method} / iou" for method in ("10*gradia", "auto")],
    ),
    (
        "findings.md",
        "with four fifths lost {:.2f} (GRADIA with weight 1 and plain training {:.2f})",
        "corruption",
        [f"drop 80 % / {method} / iou" for method in ("10*gradia", "gradia")],
    ),
    (
        "findings.md",
        "Boundaries that wander or have few corners cost next to nothing ({:.2f}, {:.2f}).",
        "corruption",
        [f"{kind} / auto / iou" for kind in ("jitter 10 %", "polygon")],
    ),
    (
        "findings.md",
        "are learned as they are: {:.2f}, {:.2f} and {:.2f} (HAICS {:.2f}).",
        "corruption",
        [f"{kind} / auto / iou" for kind in ("box", "dilate 30 %", "erode 30 %")]
        + ["erode 30 % / haics / iou"],
    ),
    (
        "findings.md",
        "without it maps overlap less everywhere ({:.2f} for {:.2f} on gender photos, {:.2f} for {:.2f} "
        "if annotations are scribbles",
        "auto_ablation",
        [
            f"gender_coco / {kind} / {variant} / iou"
            for kind in ("as drawn", "scribble")
            for variant in ("no completion", "auto")
        ],
    ),
    (
        "findings.md",
        "RES-G comes to an IoU of {:.2f} as drawn and {:.2f} on rough annotations, from {:.2f}.",
        "ablation",
        ["as drawn / RES-G / iou", "rough / RES-G / iou", "as drawn / plain / iou"],
    ),
    (
        "findings.md",
        "`auto` has the highest accuracy, worst group and IoU ({:.2f}, {:.2f}, {:.2f}; plain {:.2f}, "
        "{:.2f}, {:.2f})",
        "methods_small",
        [
            f"{method} / {measure}"
            for method in ("auto", "baseline")
            for measure in ("accuracy", "worst_group_accuracy", "iou")
        ],
    ),
    (
        "findings.md",
        "accuracy {:.2f} (plain {:.2f}, losses on a normalised map",
        "methods",
        [f"gender_coco / {method} / accuracy" for method in ("auto", "baseline")],
    ),
    (
        "findings.md",
        "worst group {:.2f} (`auto`), {:.2f} (`evidence`). Energy, a share of the map, gives up a part: "
        "{:.2f} on the logit difference, {:.2f} on the logit; so does RRR at the features ({:.2f})",
        "methods",
        [
            f"decoy / {method} / worst_group_accuracy"
            for method in ("auto", "evidence", "energy (contrast)", "energy", "rrr (features)")
        ],
    ),
    (
        "findings.md",
        "Ten times the weight takes GRADIA to {:.2f}, with an IoU as that of `auto` ({:.2f}, {:.2f})",
        "methods",
        ["decoy / 10*gradia / worst_group_accuracy", "decoy / 10*gradia / iou", "decoy / auto / iou"],
    ),
    (
        "findings.md",
        "first in maps ({:.2f}, `auto` {:.2f}) and worst group ({:.2f}, `evidence` with a soft IoU {:.2f}, "
        "`auto` {:.2f}, plain {:.2f})",
        "methods",
        [f"people_on_streets / {method} / iou" for method in ("10*gradia", "auto")]
        + [
            f"people_on_streets / {method} / worst_group_accuracy"
            for method in ("10*gradia", "evidence + IoU", "auto", "baseline")
        ],
    ),
    (
        "findings.md",
        "`auto` has {:.2f}, plain training {:.2f}. Maps: GRADIA with weight 10 {:.2f}, `auto` and GRADIA "
        "{:.2f}.",
        "methods",
        [f"street_boston_spain / {method} / accuracy" for method in ("auto", "baseline")]
        + [f"street_boston_spain / {method} / iou" for method in ("10*gradia", "auto")],
    ),
    (
        "findings.md",
        "`auto` is first in accuracy ({:.2f}, plain {:.2f}, losses",
        "methods",
        [f"people_on_streets / {method} / accuracy" for method in ("auto", "baseline")],
    ),
    (
        "findings.md",
        "falls from {:.2f} to {:.2f} (plain), from {:.2f} to {:.2f} (GRADIA) and from {:.2f} to {:.2f} "
        "(RES-G), though these two have the better maps (IoU {:.2f} and {:.2f}; plain {:.2f}); with "
        "`evidence` it stays ({:.2f} and {:.2f}), and with `auto` ({:.2f} and {:.2f})",
        "faithfulness",
        [
            *(
                f"decoy / {method} / {measure}"
                for method in ("baseline", "gradia", "res-g")
                for measure in ("unchanged_accuracy", "background_swap_accuracy")
            ),
            *(f"decoy / {method} / iou" for method in ("gradia", "res-g", "baseline")),
            *(
                f"decoy / {method} / {measure}"
                for method in ("evidence", "auto")
                for measure in ("unchanged_accuracy", "background_swap_accuracy")
            ),
        ],
    ),
    (
        "findings.md",
        "changes in {:.0%} of the images (plain), {:.0%} (GRADIA), {:.0%} (RES-G), {:.0%} (`evidence`), "
        "{:.0%} (`auto`), {:.0%} (`evidence` with a soft IoU)",
        "faithfulness",
        [
            f"decoy / {method} / background_swap_flips"
            for method in ("baseline", "gradia", "res-g", "evidence", "auto", "evidence + IoU")
        ],
    ),
    (
        "findings.md",
        "Cats and dogs {:.3f} plain, {:.3f} `auto` (difference",
        "controls",
        [f"pets_catdog / {method} / accuracy" for method in ("baseline", "auto")],
    ),
    (
        "findings.md",
        "say less than the whole photo, {:.3f} and {:.3f} (",
        "controls",
        [f"street_boston_spain / {method} / accuracy" for method in ("baseline", "auto")],
    ),
    (
        "findings.md",
        "RES-G and GRADIA have the same IoU on gender photos ({:.2f}, {:.2f});",
        "paper_table_gpu",
        [f"gender_coco / {method} / iou" for method in ("res-g", "gradia")],
    ),
    (
        "findings.md",
        "So little training leaves gender photos near chance (plain {:.2f}) and streets at {:.2f}.",
        "paper_table_whole",
        [f"{data} / baseline / accuracy" for data in ("gender_coco", "street_boston_spain")],
    ),
]

# The table of `auto` and its rivals: case, data, annotated.
CASES = [
    ("gender photos, 24 annotated", "gender_coco", "24"),
    ("gender photos, 100", "gender_coco", "100"),
    ("people on streets, 24", "people_on_streets", "24"),
    ("people on streets, 100", "people_on_streets", "100"),
    ("glyph, 24", "decoy", "24"),
    ("glyph, 100", "decoy", "100"),
]


@cache
def rows(page: str) -> list[dict[str, str]]:
    with (EVIDENCE / f"{page}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def find(page: str, place: str, against: str = "") -> dict[str, str]:
    """The row of a table, by its value on each axis and its measure."""
    *values, measure = place.split(" / ")
    columns = list(rows(page)[0])
    axes = columns[1 : columns.index("against")]
    (row,) = (
        row
        for row in rows(page)
        if [row[axis] for axis in axes] == values and row["measure"] == measure and row["against"] == against
    )
    return row


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("document", "sentence", "page", "places"),
    SENTENCES,
    ids=[f"{document} {sentence[:30]}" for document, sentence, _, _ in SENTENCES],
)
def test_figures_of_a_sentence(document: str, sentence: str, page: str, places: list[str]) -> None:
    told = sentence.format(*(float(find(page, place)["value"]) for place in places)).replace("%", " %")
    assert words(told) in words((EVIDENCE / document).read_text(encoding="utf-8"))


@pytest.mark.parametrize(("case", "data", "annotated"), CASES, ids=[case for case, _, _ in CASES])
def test_figures_of_the_table_of_rivals(case: str, data: str, annotated: str) -> None:
    """Bold is what is clear after Holm's correction."""
    text = (EVIDENCE / "findings.md").read_text(encoding="utf-8")
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {case} |"))
    _, rival, *cells = (cell.strip() for cell in line.strip("|").split("|"))
    for measure, cell in zip(("accuracy", "worst_group_accuracy", "iou"), cells, strict=True):
        if not cell:
            continue
        row = find("default", f"{data} / {annotated} / auto / {measure}", against="best rival")
        bold = "**" if float(row["p_holm"]) < 0.05 else ""
        assert cell == f"{bold}{float(row['value']):+.3f}{bold}", (rival, measure)
