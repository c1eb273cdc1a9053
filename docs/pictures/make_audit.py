"""Take docs/pictures/audit.png from the audit of docs/audit.md: python docs/pictures/make_audit.py demo/audit

The top of the page, down to the second group, as Debian's chromium shows it.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

WIDTH = 1100

page_file = Path(sys.argv[1]).resolve() / "audit.html"
picture = Path(__file__).with_name("audit.png")
with sync_playwright() as driver:
    browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme="light")
    page.goto(page_file.as_uri())
    third = page.locator(".found > li").nth(2)
    bottom = third.evaluate("element => element.getBoundingClientRect().top + scrollY")
    page.screenshot(path=picture, clip={"x": 0, "y": 0, "width": WIDTH, "height": bottom - 8}, full_page=True)
    browser.close()
Image.open(picture).convert("RGB").quantize(256).save(picture, optimize=True)
