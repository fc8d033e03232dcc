"""The inspector's page of a run with 200 nodes and 200 steps: its size, and the time until it can be used.

It needs playwright and the system's Chromium. The targets: under 10 MB, and under 2 s.
"""

from __future__ import annotations

import sys
from pathlib import Path

# The root instead of this folder, whose statistics.py is not the one of Python.
sys.path[0] = str(Path(__file__).resolve().parents[1])

import shutil
import tempfile
import time
from statistics import median

from playwright.sync_api import sync_playwright

from gromo_graph.records import read_journal
from gromo_graph.render.pages.inspector import inspector_html
from tests.browser.conftest import FLAGS
from tests.render.samples import write_large_journal

STEPS = 20


def main() -> None:
    """Medians of five loadings, each in a fresh context of one browser."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_large_journal(Path(folder) / "journal.jsonl")
        journal, file = read_journal(folder), Path(folder) / "page.html"
        started = time.perf_counter()
        file.write_text(inspector_html(journal), encoding="utf-8")
        print(f"written in              {time.perf_counter() - started:6.2f} s")
        print(f"size                    {file.stat().st_size / 1e6:6.2f} MB   target 10 MB")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        ready, step = [], []
        for _ in range(5):
            page = browser.new_page(viewport={"width": 1400, "height": 1000})
            started = time.perf_counter()
            page.goto(file.as_uri())
            page.wait_for_selector("body.ready")
            ready.append(time.perf_counter() - started)
            started = time.perf_counter()
            for _ in range(STEPS):
                page.keyboard.press("ArrowLeft")
            step.append((time.perf_counter() - started) / STEPS)
            page.close()
        browser.close()
    print(f"interactive after       {median(ready):6.2f} s    target 2 s")
    print(f"a step by an arrow key  {median(step):6.3f} s")


if __name__ == "__main__":
    main()
