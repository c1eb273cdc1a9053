import errno
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from synthetic_runs import METHODS, Workshop, edit_json

from lookright.errors import ConfigError, DataError
from lookright.report import build_report


class Page(HTMLParser):
    """Tags, addresses and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name in ("src", "href", "xlink:href", "srcset", "action"):
                self.addresses.append(value or "")
            if name == "id":
                self.ids.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="session")
def page(six_methods: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    out = build_report(six_methods, tmp_path_factory.mktemp("report") / "new" / "report.html", gallery=30)
    return out.read_text(encoding="utf-8")


def test_the_page_holds_every_part_in_order(page: str) -> None:
    parts = ["What changed", "Figures", "Training curves", "Right, and for the right reason?", "Images"]
    parts += ["Runs", "Commands", "Versions", "What the figures mean"]
    headings = re.findall(r"<h[23][^>]*>([^<]+)</h[23]>", page)
    assert [heading for heading in headings if heading in parts] == parts
    text = Page(page).text
    assert "map looks right, model still uses the shortcut" in text
    assert "30 of 40 images of split “test”" in text
    assert "lookright train data --method res-l --seed 1" in text
    assert "torch\xa02.14.1" in text
    assert "10 of 12" in text  # the kept epoch, counted from one as people do


def test_the_page_needs_nothing_but_itself(page: str) -> None:
    parsed = Page(page)
    assert all(address.startswith(("#", "data:image/")) for address in parsed.addresses)
    assert "link" not in parsed.tags
    assert not re.search(r"url\((?!data:image/|#)", page)
    assert "@import" not in page
    assert len(parsed.ids) == len(set(parsed.ids))


def test_the_page_is_small(page: str) -> None:
    assert len(page) < 3_000_000 * 30 / 48
    assert page.count('class="photo" role="img"') == 30
    assert page.count("data:image/jpeg") == 30  # each photo once, however many methods
    assert page.count('class="heat"') == 30 * len(METHODS)


def test_names_are_text_and_not_html(tmp_path: Path) -> None:
    evil = "<script>alert(1)<"
    workshop = Workshop(tmp_path, classes=(evil, 'a"b&c'), per_class=4)
    workshop.make_data()
    run = workshop.make_run("a", "res-g", 0)
    edit_json(run / "run.json", command="lookright train </pre><img src=x>", versions={"<b>": "</script>"})
    text = build_report([run], tmp_path / "report.html").read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.tags.count("script") == 2  # the page's own: data and code
    assert "<script>alert" not in text
    assert "src=x" not in "".join(parsed.addresses)
    assert evil in parsed.text


def test_photos_and_annotations_that_are_gone_leave_a_gap(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0)
    (workshop.data / "images" / "cat" / "000.png").unlink()
    (workshop.data / "images" / "cat" / "001.png").write_bytes(b"damaged")
    text = build_report([run], workshop.root / "one.html").read_text(encoding="utf-8")
    assert text.count("photo not found") == 2
    workshop.data.rename(workshop.root / "moved")
    text = build_report([run], workshop.root / "two.html").read_text(encoding="utf-8")
    assert text.count("photo not found") == 40
    assert "Annotation outlines are missing" in text


def test_a_run_that_did_not_finish_is_said(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0)
    edit_json(run / "run.json", status="interrupted", seconds=None, best_epoch=-1)
    text = build_report([run], workshop.root / "r.html").read_text(encoding="utf-8")
    assert "Run a did not finish (status: interrupted)" in text


def test_nothing_annotated_gives_no_matrix(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0, annotated=False)
    text = build_report([run], workshop.root / "r.html", gallery=3).read_text(encoding="utf-8")
    assert "for the right reason" not in text
    assert "no IoU" in text


def test_no_gallery(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0)
    text = build_report([run], workshop.root / "r.html", gallery=0).read_text(encoding="utf-8")
    assert "data:image" not in text.replace("img-src data:", "")
    assert 'href="#gallery"' not in text


def test_an_existing_file_is_kept(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0)
    out = workshop.root / "r.html"
    out.write_text("mine")
    with pytest.raises(ConfigError, match="exists already"):
        build_report([run], out)
    assert out.read_text() == "mine"
    (run / "evaluation" / "explanations.npz").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"explanations\.npz"):
        build_report([run], out, overwrite=True)
    assert out.read_text() == "mine"


def test_arguments_that_cannot_work(workshop: Workshop) -> None:
    run = workshop.make_run("a", "res-g", 0)
    with pytest.raises(ConfigError, match="gallery"):
        build_report([run], workshop.root / "r.html", gallery=-1)
    with pytest.raises(ConfigError, match="is a folder"):
        build_report([run], workshop.root, overwrite=True)


def test_a_full_disk_leaves_the_old_report(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    def write_text(path: Path, text: str, encoding: str, errors: str) -> None:
        path.write_bytes(text[:100].encode(encoding))
        raise OSError(errno.ENOSPC, "No space left on device")

    run = workshop.make_run("a", "res-g", 0)
    out = workshop.root / "r.html"
    out.write_bytes(b"old")
    before = set(workshop.root.iterdir())
    monkeypatch.setattr(Path, "write_text", write_text)
    with pytest.raises(DataError, match="No space left on device"):
        build_report([run], out, overwrite=True)
    assert out.read_bytes() == b"old"
    assert set(workshop.root.iterdir()) == before
