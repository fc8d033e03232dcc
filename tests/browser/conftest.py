"""A browser for the tests of pages: the system's Chromium, with a watch on what a page says and asks for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gromo_graph import grow
from tests.run.specs import iris

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]

Opened = Callable[..., "Page"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium: apt-get install chromium")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    """Opens a page at an address or of a file; at the end nothing was wrong in it, and nothing left it."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_page(address: str | Path, *, quiet: bool = True, **options: Any) -> Page:
        url = address.as_uri() if isinstance(address, Path) else address
        context = browser.new_context(
            **{"viewport": {"width": 1300, "height": 900}, "reduced_motion": "reduce"} | options
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        if quiet:
            page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.wait_for_selector("body.ready")
        allowed.append(url.split("#")[0].rsplit("/", 1)[0] + "/")
        return page

    allowed: list[str] = []
    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    outside = [url for url in asked if not url.startswith((*allowed, "data:"))]
    assert outside == []


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a real run, with widened layers and a new edge."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    spec = iris(
        train__epochs="8", growth__actions="[widen, new_edge]", growth__when="{every: 1, until: 0.75}"
    )
    grow(spec, out=folder, seed=0)
    return folder


@pytest.fixture(scope="session")
def page_file(run: Path) -> Path:
    """The inspector's page of that run."""
    from gromo_graph.records import read_journal
    from gromo_graph.render.pages.inspector import inspector_html

    file = run.parent / "page.html"
    file.write_text(inspector_html(read_journal(run)), encoding="utf-8")
    return file
