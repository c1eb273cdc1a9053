"""The page of an audit in a real browser, from file://."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from accessibility import check_names_and_headings, complaints
from file_page import check_without_scripts, opened_quietly
from lookright.audit import audit, write_page
from lookright.config import DataConfig

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="module")
def address(stamped: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    data, out = DataConfig(data=stamped), tmp_path_factory.mktemp("audit") / "audit.html"
    model = "corner_photos:looks_at_middle"
    write_page(audit(model, data, image_size=64, device="cpu", progress=False), data, out, gallery=20)
    return out.as_uri()


@pytest.fixture
def page(browser: "Browser", address: str) -> Iterator["Page"]:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    yield page
    page.close()


def test_it_opens_without_errors_and_without_network(browser: "Browser", address: str) -> None:
    with opened_quietly(browser, address) as page:
        shown = page.locator(".heat.layer").first.evaluate("e => getComputedStyle(e).backgroundImage")
        assert shown.startswith('url("data:image/png')


@pytest.mark.parametrize("width", [360, 1440])
def test_the_page_does_not_scroll_sideways(page: "Page", width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_tables_are_sorted_by_keyboard(page: "Page") -> None:
    head = page.get_by_role("columnheader", name="Images").first
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    column = page.locator("table.sortable").first.locator("tbody tr td:nth-child(4)")
    sizes = [int(text) for text in column.all_inner_texts()]
    assert sizes == sorted(sizes, reverse=True)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    assert [int(text) for text in column.all_inner_texts()] == sorted(sizes)


def test_images_are_sorted_and_filtered(page: "Page") -> None:
    cards = page.locator(".audit-cards > li:visible")
    assert cards.count() == 20
    page.select_option("#by-right", "wrong")
    assert all("✗" in text for text in cards.all_inner_texts())
    assert 0 < cards.count() < 20
    page.get_by_role("button", name="Show all").click()
    page.wait_for_function("document.querySelector('#by-right').value === ''")
    page.select_option("#sort", "name")
    files = cards.locator(".file").all_inner_texts()
    assert len(files) == 20
    assert files == sorted(files)


def test_opacity_and_outlines(page: "Page") -> None:
    page.locator("#opacity").fill("25")
    assert page.locator(".heat.layer:visible").first.evaluate("e => getComputedStyle(e).opacity") == "0.25"
    assert page.locator(".outline.layer:visible").count() > 0
    page.get_by_label("Annotation outline").uncheck()
    assert page.locator(".outline.layer:visible").count() == 0


def test_everything_is_there_without_scripts(browser: "Browser", address: str) -> None:
    check_without_scripts(browser, address, ".audit-cards > li", 20)


def test_every_control_has_a_name_and_every_picture_a_text(page: "Page") -> None:
    check_names_and_headings(page)


@pytest.mark.parametrize("width", [360, 1440])
def test_axe_finds_nothing(browser: "Browser", address: str, width: int) -> None:
    pytest.importorskip("axe_playwright_python", reason="axe is not installed (extra 'dev')")
    assert complaints(browser, address, "audit", viewport={"width": width, "height": 900}) == []
