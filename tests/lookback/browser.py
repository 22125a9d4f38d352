"""A real browser that opens pages, and what it says of them."""

from __future__ import annotations

import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"),
    *("--disable-component-update", "--disable-dev-shm-usage", "--no-first-run", "--window-size=1440,1000"),
)
PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def why_no_browser() -> str:
    """Return why there is no browser here, "" if there is one."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return "selenium is not installed"
    missing = [
        name for name, found in (("chromium", program()), ("chromedriver", shutil.which("chromedriver"))) if not found
    ]
    return f"no {' and no '.join(missing)} here" if missing else ""


def program() -> str | None:
    """Return the path of the system's Chromium, None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Browser:
    """Opens pages in headless Chromium. `profile` is a new folder for what the browser writes."""

    def __init__(self, profile: Path) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        options = Options()
        options.binary_location = str(program())
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
        self.driver.set_script_timeout(30)

    def open(self, page: Path, place: str = "") -> None:
        """Open a page, at a hash such as `#node=a`, and wait until it is drawn."""
        self.driver.get("about:blank")
        self.said()
        self.driver.get(f"{page.as_uri()}{place}")
        self.wait("document.documentElement.dataset.ready === 'true'")

    def drawn(self, page: Path) -> tuple[float, float]:
        """Open a page, and return the seconds until it is drawn: of the clock, and of CPU in the thread of the page."""
        self.driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        try:
            self.open(page)
            found = self.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        finally:
            self.driver.execute_cdp_cmd("Performance.disable", {})
        values = {each["name"]: each["value"] for each in found}
        return float(self.js("performance.getEntriesByName('drawn')[0].startTime")) / 1e3, values["TaskDuration"]

    def wait(self, condition: str) -> None:
        """Wait until an expression is true in the page: asked every 5 ms. Raises AssertionError if it never is."""
        from selenium.common.exceptions import TimeoutException

        # Not by `eval`, which the page's policy refuses.
        script = f"const done = arguments[0], ask = () => (({condition}) ? done() : setTimeout(ask, 5)); ask();"
        try:
            self.driver.execute_async_script(script)
        except TimeoutException:
            raise AssertionError(f"it is never true that {condition}; the console has {self.said()}") from None

    def js(self, expression: str, *values: Any) -> Any:
        """Return the value of an expression in the page."""
        return self.driver.execute_script(f"return {expression}", *values)

    def count(self, selector: str) -> int:
        """Return how many elements of a selector there are."""
        return int(self.js("document.querySelectorAll(arguments[0]).length", selector))

    def attribute(self, selector: str, name: str) -> str | None:
        """Return an attribute of the first element of a selector."""
        return self.js("document.querySelector(arguments[0]).getAttribute(arguments[1])", selector, name)  # type: ignore[no-any-return]

    def those(self, selector: str, condition: str) -> list[str]:
        """Return the markup of the elements of a selector for which the condition on `found` is true, cut short."""
        script = f"[...document.querySelectorAll(arguments[0])].filter((found) => {condition})"
        return list(self.js(f"{script}.map((found) => found.outerHTML.slice(0, 200))", selector))

    def active(self, selector: str) -> str:
        """Return the label of what is active in a list that has the focus itself."""
        described = self.attribute(selector, "aria-activedescendant")
        return self.attribute(f"#{described}", "aria-label") or ""

    def focus(self, selector: str) -> None:
        """Give the focus to the first element of a selector."""
        self.driver.execute_script("document.querySelector(arguments[0]).focus()", selector)

    def texts(self, selector: str) -> list[str]:
        """Return the texts of the elements of a selector, as they are in the page."""
        found = self.js(
            "[...document.querySelectorAll(arguments[0])].map((found) => found.textContent.trim())", selector
        )
        return list(found)

    def click(self, selector: str) -> None:
        """Click the first element of a selector."""
        from selenium.webdriver.common.by import By

        element = self.driver.find_element(By.CSS_SELECTOR, selector)
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, where the focus is: `ArrowDown`, `Enter`, `a`."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys

        chain = ActionChains(self.driver)
        for key in keys:
            name = {
                "ArrowDown": "DOWN",
                "ArrowUp": "UP",
                "ArrowLeft": "LEFT",
                "ArrowRight": "RIGHT",
                "Backspace": "BACKSPACE",
            }.get(key, key.upper())
            chain.send_keys(getattr(Keys, name) if len(key) > 1 else key)
        chain.perform()

    def media(self, kind: str = "", **features: str) -> None:
        """Emulate a medium such as `print`, and preferences such as prefers_color_scheme="dark"."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": named})

    def size(self, width: int = 1440, height: int = 1000) -> None:
        """Set the size of the window's content."""
        values = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", values)

    def picture(self) -> bytes:
        """Return the whole page as PNG."""
        taken = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        return b64decode(taken["data"])

    def said(self) -> list[str]:
        """Return what the console has got since the last call: errors, warnings and what the policy has refused."""
        return [f"{line['level']}: {line['message']}" for line in self.driver.get_log("browser")]

    def close(self) -> None:
        self.driver.quit()
