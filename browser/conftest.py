"""Fixtures for the browser tests: ``python -m pytest browser``."""

import shutil
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[1]
BUILT = ROOT / "docs" / "_build" / "html"


def pytest_addoption(parser):
    parser.addoption("--screenshots", type=Path, help="a folder for screenshots")


@pytest.fixture(scope="session")
def built():
    """Build the site with warnings as errors, and return its folder."""
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", str(BUILT)]
    subprocess.run(command, cwd=ROOT, check=True)
    return BUILT


class _QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def site(built):
    """Serve the site on localhost, and return its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_QuietHandler, directory=built)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def chromium():
    """Return a headless browser that records the console log of its pages."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or pytest.fail(
        "expected chromium: apt-get install chromium"
    )
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(300)
    driver.set_page_load_timeout(300)
    driver.set_window_size(1400, 1000)
    yield driver
    driver.quit()


@pytest.fixture
def screenshot(chromium, request):
    """Return a function that saves a screenshot of a whole page if ``--screenshots`` is given."""
    folder = request.config.getoption("--screenshots")

    def save(name, height=None):
        if folder is None:
            return
        folder.mkdir(parents=True, exist_ok=True)
        if height is None:
            height = chromium.execute_script("return document.documentElement.scrollHeight")
        chromium.set_window_size(1400, min(max(height, 600), 8000))
        chromium.save_screenshot(str(folder / f"{name}.png"))
        chromium.set_window_size(1400, 1000)

    return save
