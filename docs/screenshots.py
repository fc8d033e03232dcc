"""Take the pictures of the inspector's page that stand in the documentation: a light one and a dark one.

The network is grown anew; the same seed gives the same pictures. It needs playwright and the system's Chromium.
"""

import json
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from gromo_graph import grow, load_spec
from gromo_graph.records import read_journal
from gromo_graph.render.pages.inspector import inspector_html

ROOT = Path(__file__).resolve().parent.parent
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SETTINGS = [
    "train.epochs=40",
    "growth.actions=[widen, new_edge]",
    "growth.select=balanced",
    "growth.when.until=0.5",
]


def main() -> None:
    """Grow, write the page, and look at it in both schemes."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        run, file = Path(folder) / "run", Path(folder) / "page.html"
        grow(load_spec(ROOT / "specs" / "digits_residual.yaml", overrides=SETTINGS), out=run, seed=0)
        results = json.loads((run / "summary.json").read_text())
        file.write_text(inspector_html(read_journal(run), results=results), encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        for scheme in ("light", "dark"):
            page = browser.new_page(
                viewport={"width": 1360, "height": 900}, color_scheme=scheme, reduced_motion="reduce"
            )
            page.goto(file.as_uri())
            page.wait_for_selector("body.ready")
            {"light": _graph, "dark": _curves}[scheme](page)
            picture = ROOT / "docs" / f"inspector-{scheme}.png"
            page.screenshot(path=picture)
            Image.open(picture).convert("RGB").quantize(192, dither=Image.Dither.NONE).save(
                picture, optimize=True
            )
        browser.close()


def _graph(page: Page) -> None:
    """A step that widened something, with a node selected."""
    page.locator("#slider").fill("6")
    page.locator("#whole").click()
    page.locator('#drawing [data-name="stem"]').click()
    page.mouse.move(5, 5)


def _curves(page: Page) -> None:
    """The curves with an epoch pointed at, and the candidates below them."""
    page.locator("#slider").fill("3")
    page.evaluate("document.getElementById('training').scrollIntoView()")
    page.evaluate("document.activeElement.blur()")
    page.locator("#plots figure:first-child svg").hover(position={"x": 150, "y": 90})


if __name__ == "__main__":
    main()
