"""`gromo-graph inspect`: the page it writes, and the server's manners."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

import pytest

from gromo_graph.cli.inspect import PAGE, results_of
from gromo_graph.cli.inspection_server import HOST, Server
from gromo_graph.run.folder import own_files
from tests.cli.test_verbs import call, failed
from tests.render.samples import write_journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    path = tmp_path / "run"
    path.mkdir()
    write_journal(path / "journal.jsonl", groups=(("stem", "mix"), ("lift",)))
    return path


@pytest.fixture
def server(run: Path) -> Iterator[Server]:
    with Server(run, 0, results_of) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def asked(
    server: Server, path: str, *, host: str | None = None, method: str = "GET"
) -> tuple[int, str, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    found = answer.status, answer.read().decode(), dict(answer.getheaders())
    connection.close()
    return found


def test_the_page_is_written_into_the_run_or_where_it_is_asked_for(run: Path, tmp_path: Path) -> None:
    result = call("inspect", run)
    assert result.exit_code == 0
    assert result.stdout == ""
    assert PAGE in result.stderr
    assert call("inspect", run, "-o", tmp_path / "a.html").exit_code == 0
    assert (tmp_path / "a.html").read_text() == (run / PAGE).read_text()
    assert call("inspect", run / "journal.jsonl", "-o", tmp_path / "b.html").exit_code == 0
    assert (tmp_path / "b.html").read_text() == (tmp_path / "a.html").read_text()
    assert own_files.INSPECTION == PAGE, "a run that is replaced takes it away"


def test_open_shows_it_or_says_where_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: bool(shown.append(address)))
    result = call("inspect", run, "--open")
    assert shown == [(run / PAGE).resolve().as_uri()]
    assert "no browser was found" in result.stderr


def test_wrong_usage(run: Path, tmp_path: Path) -> None:
    assert "--port is for --serve" in failed(call("inspect", run, "--port", 1), 2)
    assert "writes no file" in failed(call("inspect", run, "--serve", "-o", tmp_path / "x.html"), 2)
    assert "there is no such folder" in failed(call("inspect", tmp_path / "none"), 1)
    assert "there is no such folder" in failed(call("inspect", tmp_path / "none", "--serve"), 1)
    assert "cannot be written" in failed(call("inspect", run, "-o", tmp_path / "none" / "x.html"), 1)
    (run / "journal.jsonl").write_text("no journal\n")
    assert "damaged line" in failed(call("inspect", run), 1)


def test_a_port_that_is_taken(run: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        words = failed(call("inspect", run, "--serve", "--port", port), 1)
    assert f"127.0.0.1:{port} cannot be listened at" in words
    assert "--port 0" in words


def test_ctrl_c_ends_it_without_a_word(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Server) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", interrupted)
    result = call("inspect", run, "--serve", "--port", 0)
    assert result.exit_code == 130
    assert result.stderr.splitlines() == [f"serving {run} at {result.stderr.split()[3]} : Ctrl-C ends it"]


def test_it_imports_no_torch(run: Path) -> None:
    code = (
        "import sys; from gromo_graph.cli import app\n"
        "try: app()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print([name for name in ('torch', 'sklearn', 'safetensors', 'rich', 'http.server') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, "inspect", str(run)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_the_page_and_its_news(server: Server, run: Path) -> None:
    status, page, headers = asked(server, "/")
    assert status == 200
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert '"live":true' in page
    everything = json.loads(asked(server, "/news?seen=")[1])["all"]
    assert json.loads(asked(server, f"/news?seen={everything['seen']}")[1]) == {"results": None}
    (run / "summary.json").write_text('{"reason": "enough"}')
    told = json.loads(asked(server, f"/news?seen={everything['seen']}")[1])
    assert told == {"results": {"reason": "enough"}}


@pytest.mark.parametrize("path", ["/journal.jsonl", "/../journal.jsonl", "/%2e%2e/x", "/news/"])
def test_there_is_nothing_else(server: Server, path: str) -> None:
    assert asked(server, path)[0] == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1", "127.0.0.1:1", "", "0.0.0.0"]
)
def test_other_hosts_are_refused(server: Server, host: str) -> None:
    """As a page from elsewhere would call it, whose name was made to lead to this machine."""
    for path in ("/", "/news?seen="):
        status, text, _ = asked(server, path, host=host)
        assert status == 403
        assert "digits" not in text
    assert asked(server, "/", host=f"localhost:{server.server_port}")[0] == 200


def test_it_listens_to_this_machine_alone_and_is_only_read(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert asked(server, "/", method=method)[0] == 501


def test_a_journal_that_cannot_be_read_just_now(server: Server, run: Path) -> None:
    told = json.loads(asked(server, "/news?seen=")[1])["all"]["seen"]
    text = (run / "journal.jsonl").read_text()
    (run / "journal.jsonl").unlink()
    assert (
        "this is no run: it holds no journal.jsonl"
        in json.loads(asked(server, f"/news?seen={told}")[1])["waiting"]
    )
    assert asked(server, "/")[0] == 503
    (run / "journal.jsonl").write_text(text)
    assert json.loads(asked(server, f"/news?seen={told}")[1]) == {"results": None}
    assert asked(server, "/")[0] == 200


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_a_summary_that_is_none(run: Path, text: str) -> None:
    (run / "summary.json").write_text(text)
    assert results_of(run) is None


def test_a_damaged_journal_is_told_as_damaged(server: Server, run: Path) -> None:
    told = json.loads(asked(server, "/news?seen=")[1])["all"]["seen"]
    lines = (run / "journal.jsonl").read_text().splitlines()
    (run / "journal.jsonl").write_text("\n".join([lines[0], lines[1].replace('"lr"', '"rl"'), *lines[2:]]))
    assert "journal.jsonl:2: damaged line" in json.loads(asked(server, f"/news?seen={told}")[1])["damaged"]
    status, text, _ = asked(server, "/")
    assert status == 503
    assert "journal.jsonl:2: damaged line" in text


@pytest.mark.parametrize(
    "query",
    [
        *("seen=1", "seen=1-1-xyz", f"seen={'9' * 5000}-1-{'0' * 16}", "seen=&seen=", "a=b", "seen"),
        *("%ff=1", "seen=%ff", "&".join(["seen="] * 5000)),
    ],
)
def test_a_malformed_query_is_no_request(server: Server, query: str) -> None:
    assert asked(server, f"/news?{query}")[0] == 400


def test_an_address_that_is_none(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
        connection.sendall(f"GET http://[/ HTTP/1.0\r\nHost: {HOST}:{server.server_port}\r\n\r\n".encode())
        assert b" 400 " in connection.recv(100)


def test_a_browser_that_leaves_is_no_traceback(server: Server, capfd: pytest.CaptureFixture[str]) -> None:
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{server.server_port}\r\n\r\n".encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.server_port)) as leaving:
            leaving.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
            leaving.sendall(request)
    assert asked(server, "/")[0] == 200
    assert capfd.readouterr().err == ""


def test_two_hundred_at_once_are_answered(server: Server) -> None:
    with ThreadPoolExecutor(200) as pool:
        found = list(pool.map(lambda _: asked(server, "/news?seen=")[0], range(200)))
    assert found == [200] * 200
