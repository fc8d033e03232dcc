"""A page that follows a run: new steps appear by themselves, and nobody loses their place."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gromo_graph.cli.inspect import results_of
from gromo_graph.cli.inspection_server import Server
from tests.cli.test_process import interruptible
from tests.run.specs import IRIS

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.slow
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

Opened = Callable[..., "Page"]


class GrowingRun:
    """A run folder to which the lines of a real journal are written one after another."""

    def __init__(self, lines: list[bytes], folder: Path) -> None:
        self.lines, self.folder = lines, folder
        self.journal = folder / "journal.jsonl"
        (folder / "spec.yaml").write_text("")
        self.steps = [
            number for number, line in enumerate(lines, start=1) if b'"decision": {' in line
        ]  # those that were applied

    def write(self, lines: int, torn: bytes = b"") -> None:
        """So many lines, and the beginning of one more."""
        self.journal.write_bytes(b"".join(self.lines[:lines]) + torn)

    def up_to_step(self, step: int) -> None:
        self.write(self.steps[step - 1])


@pytest.fixture
def growing(run: Path, tmp_path: Path) -> GrowingRun:
    lines = (run / "journal.jsonl").read_bytes().splitlines(keepends=True)
    growing = GrowingRun(lines, tmp_path)
    assert len(growing.steps) >= 4
    growing.up_to_step(2)
    return growing


@pytest.fixture
def address(growing: GrowingRun) -> Iterator[str]:
    with Server(growing.folder, 0, results_of) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.address
        server.shutdown()
        thread.join()


def test_new_steps_and_epochs_appear_by_themselves(opened: Opened, growing: GrowingRun, address: str) -> None:
    page = opened(address)
    expect(page.locator("#at")).to_contain_text("Step 2 of 2")
    growing.up_to_step(3)
    expect(page.locator("#at")).to_contain_text("Step 3 of 3")
    lead = page.locator("#lead").inner_text()
    growing.write(growing.steps[2] + 1)  # an epoch
    expect(page.locator("#lead")).not_to_have_text(lead)
    assert page.locator("#at").inner_text().startswith("Step 3 of 3")
    expect(page.locator("#live")).to_have_text("live")
    (growing.folder / "summary.json").write_text('{"reason": "<b>enough</b>", "test": {"loss": 0.25}}')
    expect(page.locator("#live")).to_have_text("the run is over")
    assert "<b>enough</b>" in page.locator("#summary").inner_text()


def test_who_looks_at_a_step_keeps_it(opened: Opened, growing: GrowingRun, address: str) -> None:
    page = opened(address, viewport={"width": 900, "height": 600})
    page.locator('#drawing [data-name="hidden"]').click()
    page.locator("#slider").fill("1")
    assert not page.locator("#follow").is_checked()
    page.locator("#candidates").scroll_into_view_if_needed()
    scrolled = page.evaluate("scrollY")
    page.locator("#candidates button.link").nth(1).focus()
    growing.up_to_step(4)
    expect(page.locator("#at")).to_contain_text("Step 1 of 4")
    assert page.locator("#selection h2").inner_text() == "hidden"
    assert page.evaluate("scrollY") == scrolled
    focused = "[...document.querySelectorAll('#candidates button.link')].indexOf(document.activeElement)"
    assert page.evaluate(focused) == 1
    page.locator("#last").click()
    expect(page.locator("#at")).to_contain_text("Step 4 of 4")


def test_a_run_that_begins_again_is_missing_torn_or_damaged(
    opened: Opened, growing: GrowingRun, address: str
) -> None:
    page = opened(address)
    expect(page.locator("#at")).to_contain_text("Step 2 of 2")
    growing.journal.unlink()
    expect(page.locator("#live")).to_contain_text("waiting")
    assert page.locator("#at").inner_text().startswith("Step 2 of 2"), "what is known stays"
    growing.write(1, torn=growing.lines[1][:20])
    expect(page.locator("#at")).to_contain_text("Beginning of 0 steps")
    growing.write(growing.steps[2], torn=b'{"type": "ste')
    expect(page.locator("#at")).to_contain_text("Step 3 of 3")
    expect(page.locator("#torn")).to_be_visible()
    growing.journal.write_bytes(growing.lines[0] + b"no line of a journal\n")
    expect(page.locator("#live")).to_contain_text("damaged line")
    growing.up_to_step(2)  # as resuming cuts off what was written behind a checkpoint
    expect(page.locator("#at")).to_contain_text("Step 2 of 2")
    expect(page.locator("#live")).to_have_text("live")


def test_a_run_in_progress(opened: Opened, tmp_path: Path) -> None:
    """Two processes: one grows, one serves; the page sees the steps come, and Ctrl-C ends the server without a word."""
    spec = tmp_path / "spec.yaml"
    spec.write_text(IRIS)
    command = [sys.executable, "-m", "gromo_graph"]
    run = tmp_path / "run"
    settings = ["train.epochs=4000", "growth.when.until=0.9", "growth.when.every=20"]
    options = [option for setting in settings for option in ("--set", setting)]
    processes = []
    try:
        grown = subprocess.Popen(
            [*command, "grow", str(spec), *options, "--out", str(run)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=interruptible,
        )
        processes.append(grown)
        while not (run / "journal.jsonl").is_file() or not (run / "journal.jsonl").stat().st_size:
            assert grown.poll() is None
        server = subprocess.Popen(
            [*command, "inspect", str(run), "--serve", "--port", "0"],
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=interruptible,
        )
        processes.append(server)
        assert server.stderr is not None
        words = server.stderr.readline().split()
        page = opened(next(word for word in words if word.startswith("http://")))
        first = page.locator("#slider").get_attribute("max")
        expect(page.locator("#slider")).not_to_have_attribute("max", first or "")
        page.close()
        grown.send_signal(signal.SIGINT)
        assert grown.wait(60) in (0, 130)
        server.send_signal(signal.SIGINT)
        assert server.wait(20) == 130
        assert server.stderr.read() == ""
    finally:
        for process in processes:
            process.kill()
            process.wait()
            if process.stderr:
                process.stderr.close()
