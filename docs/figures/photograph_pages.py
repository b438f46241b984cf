"""Takes the pictures of pages that the documentation shows, with an installed Chromium.

python docs/figures/photograph_pages.py report output/digits/report.html docs/figures/report.jpg
"""

import argparse
import io
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT = 1320, 960


def photograph(page: Page) -> Image.Image:
    page.wait_for_timeout(500)
    return Image.open(io.BytesIO(page.screenshot())).convert("RGB")


def report(page: Page) -> list[Image.Image]:
    """The head of the report, and its gallery."""
    head = photograph(page)
    page.locator("#images").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('images').scrollIntoView()")
    return [head, photograph(page)]


def viewer(page: Page) -> list[Image.Image]:
    """The second pass."""
    page.locator("#pass").fill("1")
    return [photograph(page)]


KINDS = {"report": report, "viewer": viewer}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(args.page.resolve().as_uri())
        shots = KINDS[args.kind](page)
        browser.close()
    picture = Image.new("RGB", (WIDTH * len(shots) + 20 * (len(shots) - 1), HEIGHT), "white")
    for number, shot in enumerate(shots):
        picture.paste(shot, (number * (WIDTH + 20), 0))
    picture.thumbnail((1800, 1800))
    picture.save(args.picture, quality=80)


if __name__ == "__main__":
    main()
