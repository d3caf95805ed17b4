"""Who is not let in, and what of a guest's is never run: it is text wherever it stands."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, Keys

from tests.web.conftest import Page, Served, asked, end, serve

HOSTILE_LINE = "<img src=/x onerror=window.owned=1><script>window.owned=1</script>"
HOSTILE_NAME = "<script>window.owned=2</script>"
REFUSED = (
    "shell id", "!id", "| print 1 | id", "source x.gdb", "python print(1)", 'print $_shell("id")', "what-if on",
    "symbols /etc/passwd", "quit", "set logging on", "dump memory /tmp/x 0 1", "web off", "monitor quit",
    "compare /etc", "compare ../other",
)  # fmt: skip


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, heapbug: Path, heapbug_guest: Path) -> Iterator[Served]:
    """heapbug, whose console says something else, with symbols of which one is named so."""
    folder = tmp_path_factory.mktemp("hostile")
    copy = Path(shutil.copytree(heapbug, folder / "hostile"))
    console = copy / "console.log"
    text = console.read_bytes()
    at = text.index(b"PANIC")
    assert len(text) - at > len(HOSTILE_LINE)
    console.write_bytes(text[:at] + HOSTILE_LINE.encode() + text[at + len(HOSTILE_LINE) :])
    symbols = folder / "symbols.elf"
    words = ["objcopy", "--strip-debug", "--redefine-sym", f"log_append={HOSTILE_NAME}"]
    subprocess.run([*words, str(heapbug_guest), str(symbols)], check=True)
    running = serve(copy, "--symbols", str(symbols))
    try:
        yield running
    finally:
        end(running)


def test_who_knows_the_token_is_answered(hostile: Served) -> None:
    status, _, text = asked(hostile, "/api/ask", {"what": "position", "text": "50%"})
    assert (status, list(json.loads(text))) == (200, ["icount", "phase"])


@pytest.mark.parametrize(
    "headers",
    [
        {"x_rrdbg_token": ""},
        {"x_rrdbg_token": "x" * 43},
        {"Host": "rebound.example.com"},
        {"Host": "127.0.0.1"},
        {"Origin": "http://elsewhere.example.com"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
    ids=lambda headers: " ".join(f"{name}={value[:20]}" for name, value in headers.items()),
)
def test_others_are_told_nothing(hostile: Served, headers: dict[str, str]) -> None:
    for path, body in (("/api/timeline", None), ("/api/events", None), ("/api/run", {"line": "bookmark stolen"})):
        status, answered, text = asked(hostile, path, body, **headers)
        assert status == 403
        assert text.startswith("rrdbg: ")
        assert hostile.token not in text
        assert "heapbug" not in text
        assert not any(name.lower().startswith("access-control") for name in answered)
    _, _, text = asked(hostile, "/api/run", {"line": "info bookmarks"})
    assert "stolen" not in text


def test_a_name_that_was_made_to_mean_this_machine_gets_not_even_the_page(hostile: Served) -> None:
    assert asked(hostile, "/", Host="rebound.example.com:80")[0] == 403
    assert asked(hostile, "/", Origin="http://elsewhere.example.com")[0] == 403


def test_all_that_is_answered_keeps_to_the_policy(hostile: Served) -> None:
    for path in ("/", "/page/app.js", "/page/nothing.js", "/api/notebook", "/api/nothing"):
        _, headers, _ = asked(hostile, path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "set-cookie" not in headers


def test_it_listens_for_this_machine_alone(hostile: Served) -> None:
    port = int(hostile.origin.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=30)  # as any other address of this machine


def test_only_the_pages_own_files_are_served(hostile: Served) -> None:
    for path in (
        "/page/server.py",
        "/page/..%2Fserver.py",
        "/page/../server.py",
        "/etc/passwd",
        "/page/%2Fetc%2Fpasswd",
    ):
        assert asked(hostile, path)[0] == 404, path


def test_what_a_page_cannot_have_sent_is_refused(hostile: Served) -> None:
    assert asked(hostile, "/api/run", {"line": "x" * 100_000})[0] == 400
    assert asked(hostile, "/api/run", {"line": ["when"]})[0] == 400
    assert asked(hostile, "/api/run", [])[0] == 400
    assert asked(hostile, "/api/notebook", [{"title": "x"}])[0] == 400
    for line in REFUSED:
        status, _, text = asked(hostile, "/api/run", {"line": line})
        assert (status, json.loads(text.splitlines()[-1])["type"]) == (200, "error"), line


def test_what_a_guest_says_is_text_everywhere(browser: Chrome, hostile: Served) -> None:
    page = Page(browser, hostile)
    page.open()
    page.tab("console")
    page.wait(lambda: any(HOSTILE_LINE in text for text in page.texts("#lines .said")))
    page.press("/")
    page.find("#search").send_keys("<")
    page.wait(lambda: HOSTILE_NAME in page.texts("#matches .said"))
    page.press(Keys.ESCAPE)
    page.type(f"break *{symbol_at(page)}")
    page.moved(lambda: page.button("reverse-continue").click())
    page.wait(lambda: page.texts("#stack .function")[0] == HOSTILE_NAME)
    page.find("#stack .function").click()
    page.wait(lambda: page.find("#menu").is_displayed())
    page.choose("All calls")
    page.wait(page.idle)
    page.type(f"profile {HOSTILE_NAME} from {page.at} to +50")
    page.wait(lambda: HOSTILE_NAME in page.texts(".answer:first-child td"))
    assert page.find('[data-track^="profile <script>"]').is_displayed()
    page.tab("notebook")
    page.find("#notebook .bar button").click()
    page.wait(lambda: any(HOSTILE_NAME in text for text in page.texts(".entry .place")))
    page.type("end")
    page.type("console")
    page.wait(lambda: any("onerror" in text for text in page.texts(".answer td")))
    assert browser.execute_script("return window.owned") is None
    assert not page.all("img")
    assert len(page.all("script")) == 1
    assert page.complaints() == [], "a policy that had to step in would be told here"


def symbol_at(page: Page) -> str:
    """The address of the function with the hostile name, as GDB has it."""
    page.type("info functions window")
    text = page.texts(".answer pre")[0]
    line = next(line for line in text.splitlines() if HOSTILE_NAME in line)
    return line.split()[0]
