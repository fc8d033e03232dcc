"""The page of several runs in a browser: one run is brought out in all curves, and nothing stands in the way."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from gromo_graph.cli import app

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def compared(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run beside itself under another name."""
    folder = tmp_path_factory.mktemp("compared")
    other = shutil.copytree(run, folder / "a-name-that-is-long-and-has-no-place-to-break-it-at-all")
    arguments = ["compare", str(run), str(other), "-o", str(folder / "page.html")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    return folder / "page.html"


def page_of(browser: Browser, file: Path, said: list[str], **options: Any) -> Page:
    page = browser.new_context(**{"reduced_motion": "reduce"} | options).new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("request", lambda request: said.append(request.url) if request.url != file.as_uri() else None)
    page.goto(file.as_uri())
    return page


def opacities(page: Page, number: int) -> set[str]:
    found = f"[...document.querySelectorAll('.curve.run-{number}')].map((curve) => getComputedStyle(curve).opacity)"
    return set(page.evaluate(found))


def test_a_run_is_brought_out_in_all_curves(browser: Browser, compared: Path) -> None:
    said: list[str] = []
    page = page_of(browser, compared, said)
    assert opacities(page, 1) == opacities(page, 2) == {"1"}
    page.locator("#only-2").check()
    assert (opacities(page, 1), opacities(page, 2)) == ({"0.15"}, {"1"})
    page.locator("#only-0").check()
    page.locator("td.run-1").first.hover()
    assert (opacities(page, 1), opacities(page, 2)) == ({"1"}, {"0.15"})
    page.mouse.move(1, 1)
    assert opacities(page, 2) == {"1"}
    assert said == []
    page.context.close()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 360)])
def test_nothing_stands_in_the_way_of_anybody(
    browser: Browser, compared: Path, scheme: str, width: int
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    page = page_of(browser, compared, [], color_scheme=scheme, viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = axe.run(page).response["violations"]
    assert [(each["impact"], each["id"], [node["html"] for node in each["nodes"]]) for each in found] == []
    page.context.close()
