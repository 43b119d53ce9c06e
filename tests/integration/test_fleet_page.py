"""The live page of the fleet, in a real browser: three nodes, one of them killed, and fifty that the roster knows."""

import pathlib
import json
import time

from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browser import chromium
from waiting import wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
LEASE_US = 10_000_000
FRAMES = """
const done = arguments[arguments.length - 1], gaps = [];
let last = performance.now();
function frame(now) {
  gaps.push(now - last);
  last = now;
  gaps.length < 120 ? requestAnimationFrame(frame) : done(gaps.sort((a, b) => a - b));
}
requestAnimationFrame(frame);
"""


def cards(driver):
    return driver.find_elements(By.CSS_SELECTOR, ".node")


def states(driver):
    return sorted(element.text for element in driver.find_elements(By.CSS_SELECTOR, ".node .state"))


def complaints(driver):
    return [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]


def keep_picture(driver, tmp_path, name):
    assert driver.save_screenshot(str(tmp_path / name)), "a picture for whoever looks"


def test_three_nodes_one_killed(yard, redis, tmp_path):
    nodes = yard.fleet([redis.url] * 3, lease="2s")
    with chromium(tmp_path) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: states(driver) == ["well"] * 3, "three cards")
        assert driver.find_element(By.ID, "link").text == "live"
        keep_picture(driver, tmp_path, "three.png")
        nodes[2].kill()
        wait_until(lambda: states(driver) == ["gone", "well", "well"], "the killed node is marked")
        keep_picture(driver, tmp_path, "killed.png")
        wait_until(lambda: len(cards(driver)) == 2, "its card fades away")
        yard.fleet([redis.url], lease="2s")
        wait_until(lambda: states(driver) == ["well"] * 3, "a new one appears by itself")
        assert not complaints(driver)


def test_the_page_comes_back_when_its_node_does(yard, redis, tmp_path):
    [node] = yard.fleet([redis.url], lease="2s")
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: driver.find_element(By.ID, "link").text == "live", "it is live")
        node.kill()
        wait_until(lambda: "lost" in driver.find_element(By.ID, "link").text, "the loss is said")
        node.start()
        wait_until(lambda: driver.find_element(By.ID, "link").text == "live", "it is live again")


def test_by_keyboard_and_on_a_narrow_screen(yard, tmp_path):
    node = yard.node()
    with chromium(tmp_path, width=400, height=800) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: states(driver) == ["well"], "its card")
        body = driver.find_element(By.TAG_NAME, "body")
        body.send_keys(Keys.TAB)
        assert driver.switch_to.active_element.get_attribute("id") == "order"
        driver.switch_to.active_element.send_keys("m")
        assert driver.switch_to.active_element.get_attribute("value") == "messages"
        wide = driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, "nothing to scroll sideways"
        keep_picture(driver, tmp_path, "narrow.png")


def say_as_node(redis, number, script):
    """What a node says in the roster, for one that is not there."""
    value = {"name": f"far-{number:02}", "version": "0.1.0", "started": 1, "time": int(time.time() * 1000), "state": "well",
             "figures": {"muster_connections": number, "muster_websocket_messages_received_total": int(time.time() * number),
                         "process_resident_memory_bytes": 5 << 20, "muster_sync_members": 1}}
    answer = redis.command("EVAL", script, "1", "muster:r:nodes", "muster:w:nodes", "0", str(LEASE_US), str(LEASE_US),
                           "60000", "", "+", value["name"], json.dumps(value))
    assert not answer.startswith(b"-"), answer


def test_fifty_nodes_stay_smooth(yard, redis, tmp_path):
    [node] = yard.fleet([redis.url])
    script = (ROOT / "store" / "roster.lua").read_text()
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        for number in range(49):
            say_as_node(redis, number, script)
        wait_until(lambda: len(cards(driver)) == 50, "fifty cards")
        for number in range(49):
            say_as_node(redis, number, script)
        gaps = driver.execute_async_script(FRAMES)
        keep_picture(driver, tmp_path, "fifty.png")
        assert gaps[len(gaps) // 2] < 100, "ten frames a second and more, on whatever machine this is"
        assert not complaints(driver)
