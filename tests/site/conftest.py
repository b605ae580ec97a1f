"""The built site, served on this machine, and a browser that looks at it.

With the environment variable SKCLR_SITE, the folder of the built site, the tests run or fail;
without it they look for docs/_build/html and are skipped where that or a browser is missing.
"""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest

SITE = Path(os.environ.get("SKCLR_SITE") or Path(__file__).parents[2] / "docs" / "_build" / "html")
REQUIRED = "SKCLR_SITE" in os.environ
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


def need(found, what):
    if not found:
        (pytest.fail if REQUIRED else pytest.skip)(what)


@pytest.fixture(scope="session")
def site():
    need(
        (SITE / "index.html").is_file(),
        f"no site in {SITE}: build it with python -m sphinx -b html docs docs/_build/html",
    )
    return SITE.resolve()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(site):
    handler = functools.partial(QuietHandler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def driver(address, tmp_path_factory):
    try:
        from selenium import webdriver
    except ImportError:
        need(False, "selenium is not installed: python -m pip install '.[site]'")
    chromium, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    need(chromium and chromedriver, "no chromium and chromedriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(executable_path=chromedriver)
    )
    driver.set_page_load_timeout(60)
    yield driver
    driver.quit()
