"""The page says how well annotators agree, and leads to where they do not."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from served_page import HEIGHT, Tab, opened, served, unmarked, write_photos

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def mark(data: Path, annotator: str, name: str, rows: int) -> None:
    """Mark the uppermost rows of a photo."""
    marks = unmarked()
    marks[:rows] = 255
    file = data / "annotators" / annotator / "signed" / f"{name[:-2]}" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(marks).save(file)


def test_overall_agreement_and_the_way_to_the_least(browser: "Browser", tmp_path: Path) -> None:
    data = write_photos(tmp_path / "data")
    for name, ours, theirs in (("boat00", 40, 20), ("boat02", 40, 10), ("house01", 40, 40)):
        mark(data, "anna", name, ours)
        mark(data, "ben", name, theirs)
    mark(data, "carla", "house02", 5)
    with served(data) as server:
        tab = Tab(browser, server).open(1)
        panel = tab.page.locator("#others")
        panel.get_by_text("Agreement with others").focus()
        tab.page.keyboard.press("Space")
        tab.wait("document.querySelector('#others').innerText.includes('58 % overlap on 3 photos\\n')")
        assert panel.locator("li").first.inner_text().splitlines()[0] == "ben: 58 % overlap on 3 photos"
        assert panel.locator("li").nth(1).inner_text() == "carla: no photo that both marked"
        least = panel.get_by_role("button", name="with ben")
        assert least.inner_text() == "Least: boat02.png, 25 %"
        least.click()
        tab.wait_open(2)
        assert least.inner_text() == "Next least: boat00.png, 50 %"

        tab.page.locator("#clear").click()  # what is marked from here on counts too
        tab.wait_saved()
        tab.open(1)
        tab.wait("document.querySelector('#others').innerText.includes('75 % overlap on 2 photos')")
        tab.choose("box")
        tab.drag((0.5, 0.5), (119.5, 4.5))
        tab.wait_saved()
        mark(data, "carla", "boat01", HEIGHT)
        tab.open(0)
        tab.wait("document.querySelector('#others').innerText.includes('6 % overlap on 1 photo')")
        np.testing.assert_array_equal(server.mask(1)[:5], 255)
        tab.close()


def test_alone_there_is_nothing_to_agree_on(browser: "Browser", tmp_path: Path) -> None:
    asked: list[str] = []
    with opened(browser, tmp_path) as tab:
        tab.page.on("request", lambda request: asked.append(request.url))
        tab.open(1)
        assert tab.page.locator("#others").is_hidden()
        assert not [url for url in asked if "agreement" in url]
