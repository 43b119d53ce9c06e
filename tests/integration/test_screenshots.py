# SPDX-License-Identifier: MIT
"""Both pages as a person sees them: desktop and phone, light and dark; well, Redis away, a node lost, a sink behind, a wrong token. The pictures are
for people (SCREENSHOTS=folder keeps them); what a program can judge of them is judged here."""

import os
import pathlib

import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from lib.browser import chromium
from lib.logs import begin_sink, stored
from lib.postgres import Postgres
from lib.process import muster
from lib.waiting import wait_until

LOOKS = [("desktop", 1280, 800), ("phone", 390, 844)]
LEVELS = ["trace", "debug", "info", "info", "info", "warn", "error", "fatal"]

# What is wrong on a page of any width: something to scroll sideways to; a head or a button whose words are cut or broken within a word.
FAULTS = """
const found = [], wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
if (wide > 0) found.push(`${wide} pixels to scroll sideways`);
const canvas = document.createElement("canvas").getContext("2d");
for (const one of document.querySelectorAll("h1, h2, h3, h3 span:first-child, th, summary, header button, .tile span, .tile b")) {
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  if (box.width === 0 || !one.innerText || one.classList.contains("quiet") || one.closest("dialog:not([open])")) continue;
  canvas.font = style.font;
  for (const word of one.innerText.split(/[\\s]+/)) if (word.length < 20 && canvas.measureText(word).width > box.width + 2) found.push(`"${word}" is wider than its place`);
  if (box.right > innerWidth + 1 && !one.closest("#list")) found.push(`"${one.innerText}" stands outside`);
}
for (const one of document.querySelectorAll(".node dd, .store dd, .service dd")) if (one.scrollWidth > one.clientWidth + 1) found.push(`"${one.textContent}" is cut`);
return found;
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    kept = os.environ.get("SCREENSHOTS")
    if kept:
        pathlib.Path(kept).mkdir(parents=True, exist_ok=True)
    return pathlib.Path(kept) if kept else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("browser")) as driver:
        yield driver


def text_of(driver, part):
    return driver.find_element(By.ID, part).text


def pictures(driver, folder, page, state):
    """Each look of it, whole where the page is longer than the screen."""
    for name, width, height in LOOKS:
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": name == "phone"})
        for theme in ("light", "dark"):
            driver.execute_script("document.documentElement.dataset.theme = arguments[0]; dispatchEvent(new Event('theme'))", theme)
            wait_until(lambda width=width: driver.execute_script("return innerWidth") == width, "it is as wide")
            faults = driver.execute_script(FAULTS)
            assert driver.save_screenshot(str(folder / f"{page}-{state}-{name}-{theme}.png"))
            assert not faults, f"{page}, {state}, {name}: {faults}"
        if page == "fleet":
            tall = driver.execute_script("return document.documentElement.scrollHeight")
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": width, "height": tall, "deviceScaleFactor": 1, "mobile": name == "phone"})
            driver.save_screenshot(str(folder / f"{page}-{state}-{name}-whole.png"))
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.fixture
def fleet(yard, redis):
    postgres = yard.keep(Postgres("postgres", yard.folder)).make().start()
    assert muster("migrate", "--postgres", postgres.uri).returncode == 0
    nodes = yard.fleet([redis.url] * 3, lease="2s", postgres=postgres.uri, zone="eu-1a")
    sink = begin_sink(yard, redis.url, postgres).ready()
    stored(nodes[0], [{"msg": f"player {i} joined the hunt" if i % 9 else "Unhandled exception: boom\n  at Server.fly (server.js:12:7)\n  at main", "level": LEVELS[i % 8],
                       "room": f"hunt-{i % 3}", "user": ["alice", "bob", "carol", None][i % 4], "tick": i} for i in range(80)])
    return nodes, sink, postgres


def open_fleet(driver, node):
    driver.get(node.http("/"))
    wait_until(lambda: text_of(driver, "verdict") == "All is well" and len(driver.find_elements(By.CSS_SELECTOR, ".node")) == 4, "all is well", 40)
    wait_until(lambda: "of its memory" in text_of(driver, "stores"), "Redis was asked")


def open_logs(driver, node):
    driver.get(node.http("/logs.html"))
    wait_until(lambda: text_of(driver, "state") == "live" and driver.find_elements(By.CSS_SELECTOR, ".row:not([hidden])"), "lines")
    wait_until(lambda: driver.find_element(By.ID, "older").is_displayed(), "stored ones can be had")


def test_well(driver, folder, fleet):
    nodes, _, _ = fleet
    open_fleet(driver, nodes[0])
    pictures(driver, folder, "fleet", "well")
    open_logs(driver, nodes[0])
    driver.find_element(By.ID, "list").send_keys(Keys.HOME, Keys.ARROW_DOWN)
    pictures(driver, folder, "logs", "well")
    driver.find_element(By.ID, "list").send_keys(Keys.ENTER)
    pictures(driver, folder, "logs", "pane")


def test_redis_away(driver, folder, fleet, redis):
    nodes, _, _ = fleet
    open_fleet(driver, nodes[0])
    redis.kill()
    wait_until(lambda: text_of(driver, "verdict").startswith("Redis cannot be reached"), "the verdict", 40)
    pictures(driver, folder, "fleet", "redis-away")
    redis.start()
    wait_until(lambda: "is back" in text_of(driver, "events"), "what happened", 40)
    pictures(driver, folder, "fleet", "redis-back")


def test_a_node_lost(driver, folder, fleet):
    nodes, _, _ = fleet
    open_fleet(driver, nodes[0])
    nodes[2].kill()
    wait_until(lambda: " lost " in text_of(driver, "verdict"), "the verdict", 40)
    pictures(driver, folder, "fleet", "node-lost")
    open_logs(driver, nodes[0])
    nodes[0].kill()
    wait_until(lambda: "does not answer" in text_of(driver, "state"), "the viewer says so", 40)
    pictures(driver, folder, "logs", "node-lost")


def test_a_sink_behind(driver, folder, fleet):
    nodes, _, postgres = fleet
    open_fleet(driver, nodes[0])
    postgres.kill()
    stored(nodes[0], [{"msg": f"waits {i}", "level": "info"} for i in range(500)])
    wait_until(lambda: "PostgreSQL cannot be reached" in text_of(driver, "verdict"), "the verdict", 40)
    wait_until(lambda: "sink lag ·" in text_of(driver, "carried"), "how many wait", 40)
    pictures(driver, folder, "fleet", "sink-behind")
    open_logs(driver, nodes[0])
    driver.find_element(By.ID, "list").send_keys("o")
    wait_until(lambda: "PostgreSQL cannot be reached" in text_of(driver, "said"), "older lines cannot be had, and why", 40)
    pictures(driver, folder, "logs", "postgres-away")


def test_a_wrong_token(driver, folder, yard):
    node = yard.node(status_token="secret", logs_listen_token="secret")
    for page, path in (("fleet", "/"), ("logs", "/logs.html")):
        asks = lambda words: words in driver.execute_script("const box = document.getElementById('token-box'); return box?.open ? box.innerText : ''")
        driver.get(node.http(path))
        wait_until(lambda: asks("A token is wanted"), "it asks")
        pictures(driver, folder, page, "no-token")
        driver.switch_to.active_element.send_keys("wrong", Keys.ENTER)
        wait_until(lambda: asks("does not take the token"), "it says that it is wrong")
        pictures(driver, folder, page, "wrong-token")
        driver.find_element(By.CSS_SELECTOR, "#token-box button[value=no]").click()
        assert "This page shows nothing without a token." in driver.find_element(By.TAG_NAME, "body").text
        assert not any(part.is_displayed() for part in driver.find_elements(By.CSS_SELECTOR, ".tile, .store")), "no tiles of 0"
        wait_until(lambda: driver.find_element(By.ID, "give-token").is_displayed(), "it can be given later")
        pictures(driver, folder, page, "token-later")
        driver.execute_script("sessionStorage.clear()")
