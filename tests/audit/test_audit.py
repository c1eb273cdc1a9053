import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from corner_photos import write_photos
from PIL import Image

from lookright.audit import Audit, Kind, audit, check_folder, write_tables
from lookright.audit.page import render
from lookright.config import DataConfig
from lookright.errors import ConfigError, DataError, LookrightWarning
from lookright.explainers import EXPLAINERS
from lookright.metrics import Cell

CORNER, MIDDLE = "corner_photos:looks_at_corner", "corner_photos:looks_at_middle"


def run(model: str, data: Path, **options: object) -> Audit:
    return audit(model, DataConfig(data=data), image_size=64, device="cpu", progress=False, **options)


def test_a_network_that_looks_at_a_stamp_is_found_out_without_annotations(unmarked: Path) -> None:
    found = run(CORNER, unmarked)
    worst = found.clusters[0]
    assert found.accuracy == 1
    assert worst.predicted == "stamped"
    assert worst.place.name == "top left"
    assert worst.sameness == pytest.approx(1, abs=1e-3)
    assert {Kind.SAME_THING, Kind.ONE_PLACE, Kind.BORDER} <= {finding.kind for finding in worst.findings}
    assert worst in found.suspected
    assert worst.moves.mean() > 1


def test_a_network_that_looks_at_the_middle_is_not_suspected(unmarked: Path) -> None:
    found = run(MIDDLE, unmarked)
    assert found.suspected == ()
    assert {cluster.place.name for cluster in found.clusters} == {"centre"}


def test_with_annotations_it_says_where_the_model_looked(stamped: Path) -> None:
    wrong, right = run(CORNER, stamped), run(MIDDLE, stamped)
    assert wrong.clusters[0].lift == pytest.approx(0, abs=1e-6)
    assert Kind.OUTSIDE in {finding.kind for finding in wrong.clusters[0].findings}
    assert all(cluster.lift > 1 for cluster in right.clusters)
    assert {wrong.looks.cell(row) for row in range(len(wrong.looks))} == {Cell.UNREASONABLE_ACCURATE}
    assert wrong.looks.marked == pytest.approx(np.full(40, 16 * 16 / 64**2))
    assert len(wrong.looks.outside["evidence_outside"]) == 40


@pytest.mark.filterwarnings("error::RuntimeWarning")
def test_negative_marks_alone_have_no_overlap(stamped: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(stamped, tmp_path / "data"))
    (data / "masks").rename(data / "negatives")
    found = run(CORNER, data)
    assert all(cluster.annotated for cluster in found.clusters)
    assert {cluster.iou for cluster in found.clusters} == {None}
    assert "IoU nan" not in render(found, DataConfig(data=data), gallery=4)


def test_every_explained_image_is_in_one_cluster(stamped: Path) -> None:
    found = run(CORNER, stamped)
    rows = [row for cluster in found.clusters for row in cluster.rows]
    assert sorted(rows) == list(range(40))
    for cluster in found.clusters:
        assert {found.looks.classes[found.looks.predicted[row]] for row in cluster.rows} == {
            cluster.predicted
        }


def test_the_tables_hold_what_was_found(stamped: Path, tmp_path: Path) -> None:
    found = run(CORNER, stamped)
    write_tables(found, tmp_path)
    with (tmp_path / "per_image.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 40
    assert {row["correct"] for row in rows} == {"true"}
    shares = [float(value) for name, value in rows[-1].items() if name.startswith("evidence_") and value]
    assert all(np.isfinite(shares))
    with (tmp_path / "clusters.csv").open() as file:
        clusters = list(csv.DictReader(file))
    assert [row["cluster"] for row in clusters] == [cluster.name for cluster in found.clusters]
    assert {row["cluster"] for row in rows} == {row["cluster"] for row in clusters}
    with np.load(tmp_path / "explanations.npz") as arrays:
        assert arrays["id"].tolist() == list(found.looks.id)
        assert arrays["explanation"].shape == (40, 8, 8)


def test_without_any_group_the_tables_are_written_too(stamped: Path, tmp_path: Path) -> None:
    found = run("corner_photos:looks_nowhere", stamped)
    assert found.clusters == ()
    (tmp_path / "clusters.csv").write_text("of an audit before\n")
    write_tables(found, tmp_path)
    with (tmp_path / "clusters.csv").open() as file:
        header, *rows = csv.reader(file)
    assert (header[0], header[-1], rows) == ("cluster", "findings", [])
    assert "None of the 0 groups" in render(found, DataConfig(data=stamped), gallery=0)


def test_images_are_flagged(stamped: Path) -> None:
    looks = run(CORNER, stamped).looks
    is_stamped = [name.startswith("stamped") for name in (file.name for file in looks.file)]
    flags = [looks.flags(row) for row in range(40)]
    assert all({"border", "outside"} <= set(found) for found in flags)
    assert all("unmoved" not in found for found, is_one in zip(flags, is_stamped, strict=True) if is_one)
    middle = run(MIDDLE, stamped).looks
    wrong = {row for row in range(40) if middle.correct(row) is False and middle.probability[row] >= 0.9}
    assert wrong == {row for row in range(40) if "sure-and-wrong" in middle.flags(row)} != set()
    assert not any({"border", "outside"} & set(middle.flags(row)) for row in range(40))


def test_photos_without_labels_can_be_audited(unmarked: Path, tmp_path: Path) -> None:
    for photo in unmarked.rglob("*.png"):
        shutil.copy(photo, tmp_path)
    found = run(CORNER, tmp_path, classes=("plain", "stamped"))
    assert found.accuracy is None
    assert found.clusters[0].accuracy is None
    assert found.clusters[0] in found.suspected
    assert found.looks.cell(0) is None


def test_classes_that_the_model_does_not_know_are_told(unmarked: Path) -> None:
    with pytest.warns(LookrightWarning, match="the model knows none of the classes plain, stamped"):
        found = run(CORNER, unmarked, classes=("cat", "dog"))
    assert found.accuracy is None


def test_folders_are_matched_to_any_of_the_names_of_a_class(unmarked: Path) -> None:
    found = run(CORNER, unmarked, classes=("Plain, ordinary", "stamped"))
    assert found.accuracy == 1


@pytest.mark.parametrize("explainer", [name for name, kind in EXPLAINERS.items() if not kind.needs.region])
def test_every_explainer_of_whole_images_audits(explainer: str, tmp_path: Path) -> None:
    """With what the network tells of its cells, for which its passes at other images do not count."""
    data = write_photos(tmp_path / "photos", per_class=3, masks=True)
    attends = EXPLAINERS[explainer].needs.attention
    found = run("corner_photos:attends" if attends else CORNER, data, explainer=explainer)
    assert len(found.looks) == 6
    if not attends:
        expected = run(CORNER, data).looks.outside
        for name, column in found.looks.outside.items():
            np.testing.assert_allclose(column, expected[name], atol=1e-5)
        assert expected.keys() == found.looks.outside.keys() != set()


def test_a_split_can_be_chosen(unmarked: Path) -> None:
    whole, test = run(CORNER, unmarked), run(CORNER, unmarked, split="test")
    assert len(whole.looks) == 40
    assert 0 < len(test.looks) < 40
    assert set(test.looks.split) == {"test"}
    with pytest.raises(DataError, match="no image is in split 'holdout'"):
        run(CORNER, unmarked, split="holdout")


def test_one_image_can_be_audited(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "white").save(tmp_path / "a.png")
    found = run(CORNER, tmp_path, classes=("plain", "stamped"))
    assert len(found.looks) == 1


def test_it_is_repeatable(stamped: Path) -> None:
    first, second = run(CORNER, stamped), run(CORNER, stamped)
    assert [c.rows for c in first.clusters] == [c.rows for c in second.clusters]
    np.testing.assert_array_equal(first.looks.effect, second.looks.effect)


def test_several_labels_per_image_are_refused(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", per_class=2)
    (data / "labels.csv").write_text("file,labels\nimages/plain/plain00.png,a;b\n")
    with pytest.raises(ConfigError, match="an audit needs one class per image"):
        run(CORNER, data)


def test_another_audit_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "audit.html").write_text("mine")
    with pytest.raises(ConfigError, match="holds an audit already"):
        check_folder(tmp_path, overwrite=False)
    check_folder(tmp_path, overwrite=True)
    with pytest.raises(ConfigError, match="is a file"):
        check_folder(tmp_path / "audit.html", overwrite=True)
    with pytest.raises(ConfigError, match="clusters: got 0"):
        run(CORNER, tmp_path, most_clusters=0)
