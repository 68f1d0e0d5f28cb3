"""A headless Chromium, for what a person would look at.

It breaks off the connections that it just begins when an address of this host changes, as a local cloud beside the test
does now and then: what it says is ERR_NETWORK_CHANGED, and whoever has seen that tries again.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
RETRIES = 5
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "screenshots"


class Window(webdriver.Chrome):
    """A browser's window."""

    def get(self, url: str) -> None:
        """Open a page."""
        for _ in range(RETRIES):
            try:
                super().get(url)
            except WebDriverException as error:
                if NETWORK_CHANGED not in str(error):
                    raise
            else:
                return
        super().get(url)

    def call(self, script: str, *arguments: Any) -> Any:
        """Run a script of the page that talks to its site and calls its last argument back with what came of it."""
        for _ in range(RETRIES):
            self.get_log("browser")
            outcome = self.execute_async_script(script, *arguments)
            if not any(NETWORK_CHANGED in entry["message"] for entry in self.get_log("browser")):
                return outcome
        return self.execute_async_script(script, *arguments)


@contextlib.contextmanager
def chromium(*switches: str, page_seconds: float = 60) -> Iterator[Window]:
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
        window = Window(options=options, service=Service(driver))
        window.set_page_load_timeout(page_seconds)
        try:
            yield window
        finally:
            window.quit()


def screenshot(window: Window, name: str) -> Path:
    """Keep what the window shows as build/screenshots/<name>.png."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}.png"
    window.save_screenshot(str(path))
    return path
