"""The page of an audit: one HTML file that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

import lookright
from lookright.audit.audit import Audit
from lookright.audit.cluster_table import Cluster
from lookright.audit.findings import Kind
from lookright.audit.looks import Looks
from lookright.audit.plots import draw_clusters, to_draw
from lookright.audit.regions import REGIONS
from lookright.audit.subsets import Subset, shorten, subsets
from lookright.config import DataConfig
from lookright.engine.trained_run import TrainedRun
from lookright.files import write_html
from lookright.report.gallery import check_gallery
from lookright.report.html import environment, script_hash, style
from lookright.report.overlay import NEGATIVE, POSITIVE
from lookright.report.pictures import Photo, Photos, colours, explanation, heat_scale
from lookright.types import REASONABLE_IOU

TEMPLATES = Path(__file__).parent / "templates"

_SHOWN_CLUSTERS = 12
_LISTED_CLUSTERS = 60
_MOST_REGIONS = 12
"""Predicted classes of which each has a table of regions"""

FINDING_NAMES = {
    Kind.SAME_THING: "same thing at one place",
    Kind.SAME_ANYWHERE: "same thing anywhere",
    Kind.ONE_PLACE: "one place",
    Kind.BORDER: "border",
    Kind.OUTSIDE: "outside the annotation",
    Kind.LESS_ACCURATE: "less accurate",
    Kind.UNMOVED: "prediction unmoved",
}


def write_page(found: Audit, data: DataConfig, out: Path, *, gallery: int = 48) -> None:
    """Write the page.

    Args:
        found: the audit
        data: its photos
        out: HTML file
        gallery: most images in the list at the end; 0 leaves it out

    Raises:
        ConfigError: as `check_gallery`
        DataError: the file cannot be written.
    """
    check_gallery(gallery)
    write_html(out, render(found, data, gallery=gallery))


def render(found: Audit, data: DataConfig, *, gallery: int) -> str:
    """The page as HTML."""
    script = (TEMPLATES / "audit.js").read_text(encoding="utf-8")
    shown = found.clusters[: max(_SHOWN_CLUSTERS, len(found.suspected))][: 2 * _SHOWN_CLUSTERS]
    listed = choose(found, gallery)
    pictures = _Pictures(found, data)
    of_row = {row: cluster.name for cluster in found.clusters for row in cluster.rows}
    kept, left_out = shorten(subsets(found.looks, found.clusters))
    return (
        environment(TEMPLATES)
        .get_template("audit.html")
        .render(
            title=f"Audit of {found.name}",
            facts=_facts(found),
            css=style(),
            js=Markup(script),
            script_hash=script_hash(script),
            found=found,
            clusters=[_cluster_view(cluster, pictures) for cluster in shown],
            table=[_cluster_row(cluster) for cluster in found.clusters[:_LISTED_CLUSTERS]],
            plots=draw_clusters(found.looks, found.clusters),
            plots_of=len(to_draw(found.clusters)),
            subsets=_subset_rows(kept),
            subsets_left_out=left_out,
            reasonable_iou=REASONABLE_IOU,
            regions=_region_rows(found),
            most_regions=_MOST_REGIONS,
            images=[_image_view(row, of_row.get(row, ""), pictures) for row in listed],
            image_data=[_image_data(found.looks, row, of_row.get(row, "")) for row in listed],
            note=pictures.note,
            classes=sorted({found.looks.classes[k] for k in found.looks.predicted.tolist()}),
            cluster_names=[cluster.name for cluster in found.clusters],
            has_data_groups=any(found.looks.group),
            has_annotations=bool(found.looks.annotated.any()),
            keys={"positive": POSITIVE, "negative": NEGATIVE, "heat": heat_scale()},
            finding_names=FINDING_NAMES,
            version=lookright.__version__,
            photo_styles=pictures.styles(),  # last: it holds every picture that was asked for
        )
    )


def choose(found: Audit, limit: int) -> list[int]:
    """Pick images for the list: of each cluster in turn, wrong and sure ones first, then right ones.

    Args:
        found: the audit
        limit: most images

    Returns:
        rows, in the order in which they were picked
    """
    looks = found.looks
    queues = []
    for cluster in found.clusters:
        wrong = sorted(
            (row for row in cluster.rows if looks.correct(row) is False),
            key=lambda row: -looks.probability[row],
        )
        wrong_ones = set(wrong)
        queues.append([*wrong, *(row for row in cluster.rows if row not in wrong_ones)])
    chosen: list[int] = []
    turn = 0
    while len(chosen) < limit and any(turn < len(queue) for queue in queues):
        chosen += [queue[turn] for queue in queues if turn < len(queue)]
        turn += 1
    return chosen[:limit]


class _Pictures:
    """Photos and maps of the page, each in it once however often it is shown."""

    def __init__(self, found: Audit, data: DataConfig) -> None:
        self.looks = found.looks
        self._photos = Photos(data) if found.looks.annotated.any() else None
        self._plain = Photos(DataConfig(data=None))
        self._made: dict[int, tuple[Photo, str]] = {}

    @property
    def note(self) -> str:
        """What is to be said of the annotations."""
        return self._photos.note if self._photos else ""

    def of(self, row: int) -> Photo:
        """The photo of an image."""
        if row not in self._made:
            photos = self._photos if self._photos and self.looks.annotated[row] else self._plain
            photo = photos.embed(self.looks.id[row], self.looks.file[row])
            self._made[row] = (photo, explanation(self.looks.explanation[row].numpy(), photo.size))
        return self._made[row][0]

    def average(self, cluster: Cluster) -> str:
        """All images of a cluster laid over each other: what they share stands out."""
        mean = self.looks.thumbnails[list(cluster.rows)].float().mean(dim=0)
        return colours(mean.permute(1, 2, 0).numpy())

    def styles(self) -> Markup:
        """The rules that give each picture its photo and its map."""
        rules = []
        for row, (photo, heat) in self._made.items():
            shown = f"--photo:url({photo.uri});" if photo.uri else ""
            outline = f"--outline:url({photo.outline});" if photo.outline else ""
            rules.append(
                f".p{row}{{--ratio:{photo.size[0]}/{photo.size[1]};{shown}{outline}--map:url({heat})}}"
            )
        return Markup("\n".join(rules))  # numbers and data URIs of our own


def _facts(found: Audit) -> str:
    model, looks = found.model, found.looks
    splits = sorted(set(looks.split) - {""})
    facts = [
        f"photos {found.images.root.resolve().name}",
        _images(len(looks)) + (f" of split {splits[0]}" if len(splits) == 1 else ""),
        f"{int(looks.annotated.sum())} annotated",
        "" if found.accuracy is None else f"accuracy {100 * found.accuracy:.1f} %",
        f"backbone {model.config.backbone}",
        f"method {model.config.method}"
        if isinstance(model, TrainedRun)
        else f"weights {model.config.weights}",
        f"explained by {model.config.explainer}",
    ]
    return " · ".join(fact for fact in facts if fact)


def _cluster_view(cluster: Cluster, pictures: _Pictures) -> dict[str, Any]:
    return {
        "cluster": cluster,
        "pictures": [_picture(row, pictures) for row in cluster.typical],
        "average": pictures.average(cluster),
        "common": colours(np.moveaxis(cluster.common.clip(0, 255), 0, 2))
        if any(finding.kind is Kind.SAME_ANYWHERE for finding in cluster.findings)
        else None,
        "more": cluster.size - len(cluster.typical),
        "told": [
            f"{_images(cluster.size)} ({100 * cluster.share:.0f} % of those predicted {cluster.predicted})",
            "" if cluster.accuracy is None else f"accuracy {100 * cluster.accuracy:.0f} %",
            f"mean probability {100 * cluster.confidence:.0f} %",
            "" if cluster.iou is None else f"IoU {cluster.iou:.2f}",
        ],
    }


def _cluster_row(cluster: Cluster) -> dict[str, Any]:
    """What the table shows, and what it sorts by: (text, number)."""
    return {
        "cluster": cluster,
        "cells": [
            _cell(cluster.suspicion, ".2f"),
            _cell(cluster.size, "d"),
            _cell(cluster.accuracy, ".2f"),
            _cell(cluster.confidence, ".2f"),
            (cluster.place.name, float(REGIONS.index(cluster.place.name))),
            _cell(cluster.place.share, ".2f"),
            _cell(cluster.sameness, ".2f"),
            _cell(cluster.pattern, ".2f"),
            _cell(cluster.border, ".2f"),
            _cell(float(cluster.moves.mean()), ".2f"),
            _cell(cluster.iou, ".2f"),
        ],
        "findings": ", ".join(FINDING_NAMES[finding.kind] for finding in cluster.findings) or "–",
    }


def _subset_rows(rows: Sequence[Subset]) -> list[dict[str, Any]]:
    return [
        {
            "subset": subset,
            "accuracy": "–" if subset.accuracy is None else f"{subset.accuracy:.2f}",
            "shares": [
                (f"{count} ({100 * count / subset.judged:.0f} %)", count / subset.judged)
                if subset.judged
                else ("–", None)
                for count in subset.cells.values()
            ],
        }
        for subset in rows
    ]


def _region_rows(found: Audit) -> list[dict[str, Any]]:
    """Mean share of the evidence in each region, for all images and, of few, for each predicted class."""
    looks = found.looks
    names = [(looks.classes[k], looks.predicted == k) for k in sorted(set(looks.predicted.tolist()))]
    everything = [("all images", np.ones(len(looks), dtype=bool))]
    rows = []
    for name, members in (*everything, *(names if 1 < len(names) <= _MOST_REGIONS else ())):
        told = members & np.isfinite(looks.border)
        if told.any():
            rows.append({"name": name, "n": int(told.sum()), "shares": looks.regions[told].mean(axis=0)})
    return rows


def _picture(row: int, pictures: _Pictures) -> dict[str, Any]:
    photo, looks = pictures.of(row), pictures.looks
    correct = looks.correct(row)
    label = looks.classes[looks.label[row]] if looks.label[row] >= 0 else None
    return {
        "row": row,
        "name": looks.file[row].name,
        "photo": photo.uri is not None,
        "outline": photo.outline is not None,
        "tiny": photo.tiny,
        "correct": correct,
        "verdict": _verdict(looks.classes[looks.predicted[row]], label),
        "predicted": looks.classes[looks.predicted[row]],
        "told": f"{100 * looks.probability[row]:.0f} %",
    }


def _verdict(predicted: str, label: str | None) -> str:
    if label is None:
        return predicted
    return f"✓ {predicted}" if predicted == label else f"✗ {predicted}, not {label}"


def _image_view(row: int, cluster: str, pictures: _Pictures) -> dict[str, Any]:
    looks = pictures.looks
    moved = looks.effect[row] - looks.effect_elsewhere[row]
    noticed = ", ".join(looks.flags(row)).replace("-", " ")
    facts = [
        f"border {_number(looks.border[row])}",
        f"moves {_number(moved)}",
        f"IoU {_number(looks.iou[row])}" if looks.annotated[row] else "",
        f"data group {looks.group[row]}" if looks.group[row] else "",
        f"noticed: {noticed}" if noticed else "",
    ]
    return _picture(row, pictures) | {
        "cluster": cluster,
        "facts": " · ".join(fact for fact in facts if fact),
    }


def _image_data(looks: Looks, row: int, cluster: str) -> dict[str, Any]:
    correct, cell = looks.correct(row), looks.cell(row)
    return {
        "name": looks.file[row].name,
        "predicted": looks.classes[looks.predicted[row]],
        "cluster": cluster,
        "right": None if correct is None else ("right" if correct else "wrong"),
        "cell": cell.value if cell else None,
        "probability": _json(looks.probability[row]),
        "border": _json(looks.border[row]),
        "moves": _json(looks.effect[row] - looks.effect_elsewhere[row]),
        "iou": _json(looks.iou[row]),
    }


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}"


def _cell(value: float | None, form: str) -> tuple[str, float | None]:
    if value is None or math.isnan(value):
        return "–", None
    return format(value, form), float(value)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.2f}"


def _json(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
