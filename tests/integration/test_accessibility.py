# SPDX-License-Identifier: MIT
"""axe-core's judgement of both pages: names, contrast, roles, keyboard; light and dark, wide and narrow, well and ill."""

import pathlib
import shutil

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from lib.browser import chromium
from lib.logs import stored
from lib.shared import npm_packages
from lib.waiting import wait_until

FOLDER = pathlib.Path(__file__).parent / "axe"
AXE = FOLDER / "node_modules" / "axe-core" / "axe.min.js"
JUDGE = """const done = arguments[arguments.length - 1];
axe.run(document, {resultTypes: ["violations"]}).then(found => done(found.violations.flatMap(rule =>
    rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")}: ${node.failureSummary}`))), wrong => done([String(wrong)]));"""

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@pytest.fixture(scope="module")
def axe():
    npm_packages(FOLDER)
    return AXE.read_text()


def faults(driver, axe):
    """In both colours."""
    found = []
    driver.execute_script(axe)
    for colour in ("light", "dark"):
        driver.execute_script("document.documentElement.dataset.theme = arguments[0]", colour)
        found += [f"{colour}: {fault}" for fault in driver.execute_async_script(JUDGE)]
    return found


def text_of(driver, part):
    return driver.find_element(By.ID, part).text


@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_of_the_fleet(yard, redis, axe, tmp_path, width):
    nodes = yard.fleet([redis.url] * 2, lease="2s")
    with chromium(tmp_path, width=width) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: text_of(driver, "verdict") == "All is well", "it is well")
        assert faults(driver, axe) == []
        nodes[1].kill()
        wait_until(lambda: "problem" in text_of(driver, "verdict"), "a node is lost", 40)
        assert faults(driver, axe) == []
        driver.find_element(By.XPATH, "//button[.='memory']").send_keys(Keys.ENTER)
        wait_until(lambda: "Worry when" in text_of(driver, "explain"), "a figure explained")
        assert faults(driver, axe) == []


@pytest.mark.parametrize("width", [1200, 500])
def test_the_log_viewer(yard, axe, tmp_path, width):
    node = yard.node()
    levels = ["trace", "debug", "info", "warn", "error", "fatal"]
    stored(node, [{"msg": f"line {i}\nmore", "room": f"R{i % 3}", "user": f"user{i}", "level": levels[i % 6], "tick": i} for i in range(24)])
    with chromium(tmp_path, width=width) as driver:
        driver.get(node.http("/logs.html?q=line+1&cols=tick&nouser=server"))
        wait_until(lambda: text_of(driver, "count") == "24 lines", "the lines")
        driver.find_element(By.ID, "list").send_keys(Keys.HOME, " ", Keys.ARROW_DOWN, Keys.ENTER)
        wait_until(lambda: driver.find_element(By.ID, "detail").is_displayed(), "the pane")
        driver.execute_script("document.getElementById('bar').classList.add('open')")
        for menu in ("rooms-title", "users-title"):
            driver.find_element(By.ID, menu).click()
            assert faults(driver, axe) == []
            driver.find_element(By.ID, menu).click()
        driver.find_element(By.ID, "include").send_keys("(")
        wait_until(lambda: "no pattern" in text_of(driver, "include-note"), "what is no pattern is marked")
        assert faults(driver, axe) == []


def test_the_question_for_a_token(yard, axe, tmp_path):
    node = yard.node(status_token="secret", logs_listen_token="secret")
    with chromium(tmp_path) as driver:
        for page in ("/", "/logs.html"):
            driver.get(node.http(page))
            wait_until(lambda: driver.execute_script("return document.querySelector('#token-box[open]') !== null"), "it asks")
            assert faults(driver, axe) == []


def test_the_pages_of_docs(yard, axe, tmp_path):
    node = yard.node()
    with chromium(tmp_path) as driver:
        for page in ("figures", "operate", "glossary", "protocols"):
            driver.get(node.http(f"/docs?page={page}"))
            wait_until(lambda: driver.find_elements(By.TAG_NAME, "h1"), page)
            assert faults(driver, axe) == []
