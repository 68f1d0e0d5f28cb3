"""A headless Chromium, for what a person would look at."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


@contextlib.contextmanager
def chromium(*switches: str, page_seconds: float = 60) -> Iterator[webdriver.Chrome]:
    """Start a browser with an empty profile.

    Args:
        switches: Further switches of the command line, such as ``--host-resolver-rules=…``.
        page_seconds: The longest that one page may take to load.

    Raises:
        FileNotFoundError: Debian's packages ``chromium`` and ``chromium-driver`` are not installed.
    """
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        raise FileNotFoundError("chromium or chromedriver is missing: run 'make setup-browser'")
    with tempfile.TemporaryDirectory(prefix="stackyard-chromium-") as profile:
        options = Options()
        options.binary_location = browser
        for switch in (
            "--headless=new",
            # Chromium refuses its sandbox to root, and tests of machines need root.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--no-first-run",
            "--window-size=1280,1000",
            f"--user-data-dir={profile}",
            *switches,
        ):
            options.add_argument(switch)
        window = webdriver.Chrome(options=options, service=Service(driver))
        window.set_page_load_timeout(page_seconds)
        try:
            yield window
        finally:
            window.quit()


def screenshot(window: webdriver.Chrome, name: str) -> Path:
    """Keep what the window shows as build/screenshots/<name>.png."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    window.save_screenshot(str(path))
    return path
