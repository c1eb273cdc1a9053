import csv
import os
import re
from dataclasses import replace
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest
from corner_photos import write_photos

from lookright.audit import Audit, audit, write_page, write_tables
from lookright.audit.page import choose, render
from lookright.audit.subsets import shorten, subsets
from lookright.config import DataConfig
from lookright.files import open_csv


def run(data: Path, model: str = "corner_photos:looks_at_corner", **options: object) -> Audit:
    return audit(model, DataConfig(data=data), image_size=64, device="cpu", progress=False, **options)


class Ids(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name == "id" and value]


@pytest.fixture(scope="module")
def found(stamped: Path) -> Audit:
    return run(stamped)


@pytest.fixture(scope="module")
def html(found: Audit, stamped: Path) -> str:
    return render(found, DataConfig(data=stamped), gallery=10)


def test_it_needs_nothing_but_itself(html: str) -> None:
    assert not re.findall(r"(?:src|href)=\"(?!data:|#)", html)
    assert not re.findall(r"url\((?!data:)", html.replace("url({", ""))
    assert "http" not in re.sub(r"http-equiv", "", html)


def test_it_says_what_was_found(html: str, found: Audit) -> None:
    assert (
        f"{len(found.suspected)} of {len(found.clusters)} groups of explanations look like a shortcut" in html
    )
    for cluster in found.suspected:
        for finding in cluster.findings:
            assert finding.reason in html
    assert "accuracy 100.0 %" in html
    assert html.count("<h1>") == 1


def test_it_says_how_many_groups_it_leaves_out(html: str, found: Audit, stamped: Path) -> None:
    assert "most suspicious of" not in html
    many = replace(found, clusters=found.suspected * 30)
    page = render(many, DataConfig(data=stamped), gallery=0)
    assert page.count('<li id="cluster-') == 24
    assert f"the 24 most suspicious of {len(many.clusters)} groups" in page


def test_cards_show_what_was_noticed_of_an_image(html: str, found: Audit, stamped: Path) -> None:
    flagged = [row for row in choose(found, 10) if found.looks.flags(row)]
    assert flagged
    assert html.count("noticed: ") == len(flagged)
    for row in flagged:
        assert f"noticed: {', '.join(found.looks.flags(row)).replace('-', ' ')}" in html


def test_what_stands_out_is_named_by_its_files(html: str, found: Audit) -> None:
    strips = html.split('id="h-table"')[0]
    for row in found.clusters[0].typical:
        assert f'<p class="file">{found.looks.file[row].name}</p>' in strips


def test_ids_are_unique(html: str) -> None:
    ids = Ids()
    ids.feed(html)
    assert len(ids.found) == len(set(ids.found))


def test_every_picture_is_in_it_once(html: str) -> None:
    rules = re.findall(r"^\.p(\d+)\{", html, flags=re.MULTILINE)
    assert len(rules) == len(set(rules))
    assert set(re.findall(r'class="picture p(\d+)', html)) == set(rules)


def test_without_a_shortcut_it_promises_nothing(unmarked: Path) -> None:
    found = run(unmarked, "corner_photos:looks_at_middle")
    page = render(found, DataConfig(data=unmarked), gallery=0)
    assert "looks like a shortcut.</strong> That is no proof" in page
    assert 'id="images"' not in page
    assert "annotated: relevant" not in page


def test_names_are_escaped(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", per_class=4)
    (data / "images" / "plain").rename(data / "images" / "<b>&")
    page = render(run(data), DataConfig(data=data), gallery=4)
    assert "<b>&" not in page
    assert "&lt;b&gt;&amp;" in page


def test_file_names_that_are_not_utf_8_are_written(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", per_class=4)
    photo = next((data / "images" / "plain").iterdir())
    name = os.fsdecode(b"a\xff.png")
    photo.rename(photo.with_name(name))
    found = run(data)
    write_tables(found, tmp_path / "audit")
    write_page(found, DataConfig(data=data), tmp_path / "audit" / "audit.html")
    with open_csv(tmp_path / "audit" / "per_image.csv") as table:
        assert [row["id"] for row in csv.DictReader(table)] == list(found.looks.id)
    assert f"images/plain/{name}" in found.looks.id
    assert "a\\udcff.png" in (tmp_path / "audit" / "audit.html").read_text(encoding="utf-8")


def test_the_list_takes_wrong_and_sure_ones_of_each_group_first(unmarked: Path) -> None:
    found = run(unmarked, "corner_photos:looks_at_middle")
    looks = found.looks
    chosen = choose(found, 8)
    assert len(chosen) == len(set(chosen)) == 8
    assert choose(found, 1000) == choose(found, len(looks))
    assert sorted(choose(found, 1000)) == sorted(row for c in found.clusters for row in c.rows)
    largest = max(found.clusters, key=lambda cluster: cluster.size)
    wrong = [row for row in largest.rows if looks.correct(row) is False]
    listed = [row for row in chosen if row in wrong]
    assert listed == sorted(wrong, key=lambda row: -looks.probability[row])[: len(listed)]
    assert listed
    assert choose(found, 0) == []


def test_subsets_count_classes_and_groups(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", per_class=6, masks=True)
    lines = ["file,class,split,group"] + [
        f"images/{name}/{name}{number:02d}.png,{name},test,{'odd' if number % 2 else 'even'}"
        for name in ("plain", "stamped")
        for number in range(6)
    ]
    (data / "split.csv").write_text("\n".join(lines) + "\n")
    audited = run(data)
    found = subsets(audited.looks, audited.clusters)
    assert [(s.kind, s.name, s.images, s.accuracy) for s in found] == [
        ("all", "all images", 12, 1.0),
        ("class", "plain", 6, 1.0),
        ("class", "stamped", 6, 1.0),
        ("data group", "even", 6, 1.0),
        ("data group", "odd", 6, 1.0),
        ("group", "plain #1", 6, 1.0),
        ("group", "stamped #1", 6, 1.0),
    ]
    assert all(s.judged == s.images for s in found)
    page = render(audited, DataConfig(data=data), gallery=3)
    assert '<th scope="row">data group even</th>' in page
    assert '<th scope="row">group plain #1</th>' in page
    assert "data group odd" in page.split('class="audit-cards"')[1]
    assert "<dt>Data group</dt>" in page


def test_shares_are_of_the_annotated_images_which_are_counted(tmp_path: Path) -> None:
    data = write_photos(tmp_path / "photos", per_class=6, masks=True)
    for mask in sorted((data / "masks" / "plain").iterdir())[:4]:
        mask.unlink()
    page = render(run(data), DataConfig(data=data), gallery=0)
    row = page.split('<th scope="row">class plain</th>')[1].split("</tr>")[0]
    cells = re.findall(r">([^<>]+)</td>", row)
    assert cells[0] == "6"
    assert cells[2] == "2"
    assert sum(int(cell.split(" ")[0]) for cell in cells[3:]) == 2
    assert "Data group" not in page
    assert ">Annotated</th>" in page


def test_what_is_left_out_is_said(
    found: Audit, html: str, stamped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "Listed are" not in html
    assert "Drawn are" not in html
    assert "where there are 12 at most" not in html
    names = {f"images/{name}/{name}{number:02d}.png" for name in ("plain", "stamped") for number in range(20)}
    many = replace(
        found,
        looks=replace(found.looks, group=tuple(sorted(names))),
        clusters=tuple(replace(found.clusters[0], predicted=f"class {number}") for number in range(8)),
    )
    monkeypatch.setattr("lookright.audit.clusters._MOST_EMBEDDED", 15)
    monkeypatch.setattr("lookright.audit.page.shorten", partial(shorten, most=30))
    monkeypatch.setattr("lookright.audit.page._MOST_REGIONS", 1)
    page = render(many, DataConfig(data=stamped), gallery=0)
    assert "Drawn are the 6 largest of 8 predicted classes with 12 images or more." in page
    assert "class 5: the first 15 of 20 images" in page
    assert "Listed are 30 of 40 groups of the data, those with the lowest accuracy" in page
    assert page.count('<th scope="row">data group images/') == 30
    assert "class 7: " not in page
    assert "Of each predicted class it is shown where there are 1 at most" in page
    assert page.count('<table class="grid9">') == 1


def test_the_page_is_written(found: Audit, stamped: Path, tmp_path: Path) -> None:
    write_page(found, DataConfig(data=stamped), tmp_path / "deep" / "audit.html", gallery=3)
    text = (tmp_path / "deep" / "audit.html").read_text(encoding="utf-8")
    assert text.lstrip().startswith("<!doctype html>")
