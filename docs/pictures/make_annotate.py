"""Take docs/pictures/annotate.png, the page of `lookright annotate`: python docs/pictures/make_annotate.py

Photos that scikit-image ships (public domain or CC0), EfficientNet-Lite0 with ImageNet weights (extra
`weights`), strokes of the mouse, as Debian's chromium shows it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright
from skimage import data

WINDOW = {"width": 1280, "height": 760}
PHOTOS = ("cat", "coffee", "hubble_deep_field", "retina", "rocket")
LOOK = [(112, 112), (158, 62), (255, 52), (338, 100), (350, 190), (300, 272), (215, 268), (140, 215)]
"""corners of a polygon on the cat's face, pixels of the photo"""
NOT = [(378, 62), (450, 140), (432, 235), (400, 190)]
"""of one beside it"""


def write_photos(folder: Path) -> None:
    """One file each."""
    for name in PHOTOS:
        Image.fromarray(getattr(data, name)()).save(folder / f"{name}.png")


def draw(page: Page, ink: str, corners: list[tuple[int, int]]) -> None:
    """Click a polygon on the photo, and close it."""
    page.locator(f"input[value={ink}]").check()
    scale, left, top = map(float, str(page.locator("#canvas").get_attribute("data-view")).split())
    box = page.locator("#canvas").bounding_box()
    if box is None:
        raise SystemExit("the canvas is not shown")
    for x, y in corners:
        page.mouse.click(box["x"] + left + x * scale, box["y"] + top + y * scale)
    page.keyboard.press("c")


def take(address: str, picture: Path) -> None:
    """Open the cat, mark it, show the map."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW, color_scheme="light")
        page.goto(f"{address}#image-{PHOTOS.index('cat')}")
        page.locator("#canvas[data-view]").wait_for()
        page.get_by_text("Model:").first.wait_for()
        page.locator("input[value=polygon]").check()
        draw(page, "positive", LOOK)
        draw(page, "negative", NOT)
        page.keyboard.press("m")
        page.mouse.move(5, 5)
        page.wait_for_timeout(3000)  # until it is saved, and all photos are predicted
        page.screenshot(path=picture)
        browser.close()
    Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)


with tempfile.TemporaryDirectory() as folder:
    photos = Path(folder) / "photos"
    photos.mkdir()
    write_photos(photos)
    command = [sys.executable, "-m", "lookright.cli", "annotate", str(photos), "--no-browser", "--port", "0"]
    server = subprocess.Popen(
        [*command, "--run", "tf_efficientnet_lite0", "--annotator", "anna"], stdout=subprocess.PIPE, text=True
    )
    try:
        said = ""
        while (found := re.search(r"http://\S+", said)) is None:
            said = server.stdout.readline() if server.stdout else ""
            if not said:
                raise SystemExit("the server ended")
        take(found[0], Path(__file__).with_name("annotate.png"))
    finally:
        server.terminate()
        server.wait()
