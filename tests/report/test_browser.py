"""The report in a real browser, from file://."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accessibility import check_names_and_headings, complaints
from file_page import check_without_scripts, opened_quietly
from lookright.report import build_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def address(six_methods: list[Path], tmp_path_factory: pytest.TempPathFactory) -> str:
    return build_report(six_methods, tmp_path_factory.mktemp("browser") / "report.html", gallery=24).as_uri()


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    yield page
    page.close()


def names(page: "Page") -> list[str]:
    return page.locator(".card:visible .picture .photo[role=img]").evaluate_all(
        "photos => photos.map(photo => photo.getAttribute('aria-label'))"
    )


def figures(page: "Page", method: int) -> list[float]:
    texts = page.locator(f".card:visible .look[data-method='{method}'] .small").all_inner_texts()
    return [float(text.rsplit("IoU ", 1)[1]) for text in texts]


def test_it_opens_without_errors_and_without_network(browser: "Browser", address: str) -> None:
    with opened_quietly(browser, address):
        pass


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_does_not_scroll_sideways(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (
        page.evaluate("Math.max(...[...document.querySelectorAll('figure')].map(f => f.offsetWidth))") <= 600
    )


def test_a_printed_page_holds_all_columns(page: "Page") -> None:
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 within margins of 1 cm, at 96 dpi
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 718
    assert page.locator(".controls").is_hidden()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(251, 251, 250)"


def test_sorting_changes_the_order(page: "Page") -> None:
    page.select_option("#by-method", label="res-g")
    worst = figures(page, 3)
    assert len(worst) == 24
    assert worst == sorted(worst)
    page.select_option("#sort", "iou-best")
    assert figures(page, 3) == sorted(worst, reverse=True)
    page.select_option("#sort", "name")
    files = [name.split(",")[0] for name in names(page)]
    assert files == sorted(files)
    page.select_option("#sort", "disagreement")
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelector('#sort').value === 'iou-worst'")


def test_a_cell_of_the_matrix_shows_its_images(page: "Page") -> None:
    cell = page.locator("a.cell[data-method='0'][data-cell='unreasonable-inaccurate']")
    whole = int(cell.locator("b").inner_text())
    cell.focus()
    page.keyboard.press("Enter")
    assert cell.get_attribute("aria-current") == "true"
    looks = page.locator(".card:visible .look[data-method='0']")
    assert 0 < looks.count() <= whole
    assert all("✗ wrong" in text for text in looks.all_inner_texts())
    assert f"The cell holds {whole} of the split" in page.locator("#shown").inner_text()
    assert page.evaluate("document.activeElement.id") == "gallery"


def test_class_filter_opacity_and_outlines(page: "Page") -> None:
    page.select_option("#by-class", "dog")
    assert all(name.endswith("class dog") for name in names(page))
    page.locator("#opacity").fill("25")
    assert page.locator(".heat:visible").first.evaluate("heat => getComputedStyle(heat).opacity") == "0.25"
    page.get_by_label("Annotation outline").uncheck()
    assert page.locator(".outline:visible").count() == 0


def test_everything_is_there_without_scripts(browser: "Browser", address: str) -> None:
    check_without_scripts(browser, address, ".card", 24)


def test_every_control_has_a_name_and_every_picture_a_text(page: "Page") -> None:
    check_names_and_headings(page)


@pytest.mark.parametrize("width", [360, 1440])
def test_axe_finds_nothing(browser: "Browser", address: str, width: int) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe is not installed (extra 'dev')")
    assert complaints(browser, address, "report", viewport={"width": width, "height": 900}) == []
