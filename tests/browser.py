"""A real browser: Debian's Chromium without a window, with a fresh profile, driven by Selenium."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager

from selenium import webdriver

BINARY = "/usr/bin/chromium"
DRIVER = "/usr/bin/chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-extensions",
    "--window-size=1000,900",
    "--lang=en",
)
PREFERENCES = {"credentials_enable_service": False, "intl.accept_languages": "en"}
WITHOUT_SCRIPT = {"profile.managed_default_content_settings.javascript": 2}


@contextmanager
def chromium(*flags, script=True):
    """Give a started browser; `flags` are added to its command line, `script=False` takes JavaScript away."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = BINARY
        for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
            options.add_argument(flag)
        options.add_experimental_option("prefs", PREFERENCES | ({} if script else WITHOUT_SCRIPT))
        driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
        driver.set_page_load_timeout(30)
        try:
            yield driver
        finally:
            driver.quit()
