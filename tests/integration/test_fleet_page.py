# SPDX-License-Identifier: MIT
"""The live page of the fleet, in a real browser: three nodes, one of them killed, and fifty that the roster knows."""

import asyncio
import json
import pathlib
import re

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.select import Select

from lib.browser import chromium
from lib.fleet import HOSTILE, Load, full_lists, say_as_node, say_lists_as_node, start_fleet
from lib.logs import begin_sink, stored
from lib.ports import free_port
from lib.sync import SyncClient
from lib.waiting import until, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]

# What a page does while news comes: elements made again among the cards, and draws (frames after which something is changed).
WATCH_DRAWS = """
window.seen = {made: 0, draws: 0, began: performance.now(), frames: []};
let changed = false, last = performance.now();
new MutationObserver(records => {
  changed = true;
  for (const {addedNodes} of records) seen.made += [...addedNodes].filter(node => node.nodeType === 1).length;
}).observe(document.getElementById("nodes"), {subtree: true, childList: true, attributes: true, characterData: true});
const frame = now => {
  seen.frames.push(now - last);
  last = now;
  if (changed) seen.draws++;
  changed = false;
  requestAnimationFrame(frame);
};
requestAnimationFrame(frame);
"""
DRAW_MS = 400  # least time between two draws, in nodes.js


def cards(driver):
    return driver.find_elements(By.CSS_SELECTOR, ".node")


def states(driver):
    return sorted(driver.execute_script("return [...document.querySelectorAll('.node .state')].map(state => state.textContent)"))


def complaints(driver):
    return [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]


def keep_picture(driver, tmp_path, name):
    assert driver.save_screenshot(str(tmp_path / name)), "a picture to look at"


def test_three_nodes_one_killed(yard, redis, tmp_path):
    nodes = yard.fleet([redis.url] * 3, lease="2s")
    with chromium(tmp_path) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: states(driver) == ["well"] * 3, "three cards")
        assert driver.find_element(By.ID, "link").text == "live"
        keep_picture(driver, tmp_path, "three.png")
        nodes[2].kill()
        wait_until(lambda: [state.split(" since")[0] for state in states(driver)] == ["gone", "well", "well"], "the killed node is marked")
        wait_until(lambda: re.match(r"1 problem: vm-\w+ lost \d\d:\d\d", text_of(driver, "verdict")), "the verdict says so", 40)
        assert driver.title.startswith("⚠ 1 problem") and "was lost" in text_of(driver, "events")
        keep_picture(driver, tmp_path, "killed.png")
        yard.fleet([redis.url], lease="2s")
        wait_until(lambda: [state.split(" since")[0] for state in states(driver)] == ["gone", "well", "well", "well"], "a new one appears by itself")
        driver.get(nodes[1].http("/"))
        wait_until(lambda: [state.split(" since")[0] for state in states(driver)] == ["gone", "well", "well", "well"], "a page opened later shows it, too")
        assert "was lost" in text_of(driver, "events")
        assert not complaints(driver)


def test_all_is_well_and_one_that_leaves_in_order_is_no_problem(yard, redis, tmp_path):
    nodes = yard.fleet([redis.url] * 2, lease="2s")
    with chromium(tmp_path) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: text_of(driver, "verdict") == "All is well", "the verdict")
        assert driver.title == "Muster" and "1a7f37" in driver.find_element(By.ID, "icon").get_attribute("href")
        nodes[1].stop()
        wait_until(lambda: states(driver) == ["well"], "it has gone")
        assert "leaves in order" in text_of(driver, "events") and text_of(driver, "verdict") == "All is well"
        assert not complaints(driver)


def test_redis_away_is_the_first_thing_that_is_said(yard, redis, tmp_path):
    [node] = yard.fleet([redis.url], lease="2s")
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: text_of(driver, "verdict") == "All is well", "the verdict")
        redis.kill()
        wait_until(lambda: text_of(driver, "verdict").startswith("Redis cannot be reached, for"), "the verdict says so", 40)
        assert driver.title.startswith("⚠ Redis") and "figures are of" in text_of(driver, "verdict")
        assert "away" in text_of(driver, "stores")
        wait_until(lambda: states(driver)[0].startswith("not known since "), "no card stays green with figures of before")
        keep_whole_page(driver, tmp_path, "away.png")
        redis.start()
        wait_until(lambda: "is back" in text_of(driver, "events"), "that it is back is an event", 40)
        wait_until(lambda: text_of(driver, "verdict") == "All is well", "and all is well", 40)


def test_a_missing_and_a_wrong_token_are_asked_for(yard, tmp_path):
    node = yard.node(status_token="secret")
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        asks = lambda: driver.execute_script("const box = document.getElementById('token-box'); return box !== null && box.open")
        wait_until(asks, "it asks")
        assert "status-token" in text_of(driver, "token-why")
        driver.switch_to.active_element.send_keys("wrong", Keys.ENTER)
        wait_until(lambda: asks() and "does not take" in text_of(driver, "token-why"), "it says that it is wrong")
        driver.switch_to.active_element.send_keys("secret", Keys.ENTER)
        wait_until(lambda: states(driver) == ["well"], "its card")
        driver.refresh()
        wait_until(lambda: states(driver) == ["well"], "it is kept in the session")
        assert "secret" not in driver.current_url


def test_figures_explain_themselves(yard, tmp_path):
    node = yard.node()
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: states(driver) == ["well"], "its card")
        driver.find_element(By.XPATH, "//button[.='bus lag']").send_keys(Keys.ENTER)
        wait_until(lambda: "Worry when: Over 50 ms" in text_of(driver, "explain"), "what it is, when to worry")
        driver.find_element(By.CSS_SELECTOR, "#explain a").click()
        wait_until(lambda: "Bus" in [title.text for title in driver.find_elements(By.TAG_NAME, "h3")], "the page of figures, served by the binary")
        at = "return document.getElementById('bus').getBoundingClientRect().top"
        wait_until(lambda: -5 <= driver.execute_script(at) < 300, "at the place of this figure")
        keep_picture(driver, tmp_path, "docs.png")
        driver.find_element(By.LINK_TEXT, "Several servers").click()
        wait_until(lambda: "A list of servers" in driver.find_element(By.TAG_NAME, "main").text, "and on to another page")
        assert not complaints(driver)


def test_the_pages_of_docs(yard):
    """In a browser each is shown, its links lead to titles that are there; for others it is text."""
    node = yard.node()
    for page in sorted((ROOT / "docs").glob("*.md")):
        status, text = node.get(f"/docs?page={page.stem}")[:2]
        assert (status, text) == (200, page.read_text())
    assert node.get("/docs/operate")[1] == node.get("/docs?page=operate")[1] == node.get("/docs")[1]
    assert node.get("/docs?page=../SECURITY")[0] == node.get("/docs?page=")[0] == 404


def test_each_page_of_docs_is_shown_whole(yard, tmp_path):
    node = yard.node()
    with chromium(tmp_path) as driver:
        titles, links = {}, set()
        for page in sorted((ROOT / "docs").glob("*.md")):
            driver.get(node.http(f"/docs?page={page.stem}"))
            wait_until(lambda: driver.find_elements(By.TAG_NAME, "h1"), page.name)
            titles[page.stem] = driver.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(title => title.id)")
            links |= {(page.stem, link) for link in driver.execute_script("return [...document.querySelectorAll('main a')].map(link => link.getAttribute('href'))")}
            shown = driver.execute_script("const t = document.querySelector('main').cloneNode(true); t.querySelectorAll('pre, code').forEach(c => c.remove()); return t.textContent")
            assert not re.search(r"\*\*|\]\(|^\||```|^#", shown, re.M), "no mark is left"
            words = lambda text: re.findall(r"[A-Za-z]{4,}", text)
            assert len(words(driver.execute_script("return document.querySelector('main').textContent"))) > 0.8 * len(words(page.read_text()))
        for page, link in links:
            if found := re.fullmatch(r"(?:docs\?page=([\w-]+))?(?:#(.*))?", link):
                assert found[1] in {None, *titles} and (found[2] is None or found[2] in titles[found[1] or page]), (page, link)
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
        assert driver.switch_to.active_element.get_attribute("id") == "order", "and no field before it"
        driver.switch_to.active_element.send_keys("m")
        assert driver.switch_to.active_element.get_attribute("value") == "messages"
        assert sideways(driver) <= 0, "nothing to scroll sideways"
        keep_picture(driver, tmp_path, "narrow.png")


def look(driver, dark):
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia",
                           {"features": [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]})


def keep_whole_page(driver, tmp_path, name, width=1200):
    """A picture of all of it, not only of what is in the window."""
    height = driver.execute_script("return document.documentElement.scrollHeight")
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                           {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
    wait_until(lambda: driver.execute_script("return innerHeight") == height, "it is as tall")
    keep_picture(driver, tmp_path, name)
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def text_of(driver, part):
    return driver.find_element(By.ID, part).text


def row_texts(driver, part):
    """One text for each row, its cells and lines joined by blanks; in one question, so that no row changes meanwhile."""
    return driver.execute_script("""
        return [...document.getElementById(arguments[0]).querySelectorAll("tbody tr")]
            .map(row => row.innerText.trim().split(/\\s+/).join(" "));""", part)


def sideways(driver):
    return driver.execute_script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")


def test_what_the_nodes_carry(yard, redis, tmp_path):
    nodes = start_fleet(yard, redis.url)
    one, two, three = (node.log().split("serving node=")[1].split()[0] for node in nodes)
    loop = asyncio.new_event_loop()
    load = loop.run_until_complete(Load(nodes).start())
    with chromium(tmp_path) as driver:
        driver.get(nodes[1].http("/"))
        wait_until(lambda: "2 sessions, 4 members" in text_of(driver, "sessions"), "the sessions")
        assert [row.split()[1:] for row in row_texts(driver, "sessions")] == [["3", "connected", "3"], ["1", "none", "1"]]
        wait_until(lambda: "2 networks, 3 servers" in text_of(driver, "relay"), "the networks")
        rows = row_texts(driver, "relay")
        assert rows[0].startswith("default 3 servers, 9 players at 127.0.0.1:")
        assert rows[1:4] == [f"{HOSTILE[:48]} 7 {one}", f"Beta 2 {two}", f"Gamma 0 {three}"], "one network, whatever the node"
        assert rows[4].startswith("island 0 servers at ")
        wait_until(lambda: "1 port, 1 driver, 3 devices" in text_of(driver, "ports"), "the port")
        [port] = row_texts(driver, "ports")
        assert port.startswith(f"tcp {load.port} {load.driver_address()} {three} 3 ")
        assert f"2 on {one}" in port and f"1 on {two}" in port
        wait_until(lambda: "3 users online" in text_of(driver, "chat"), "the chat")
        assert sorted(row_texts(driver, "chat")) == sorted([f"{HOSTILE} {one}", f"Ada {two}"])
        assert "and 1 more" in text_of(driver, "chat"), "silent users are not named"
        wait_until(lambda: "no sink" in text_of(driver, "carried"), "there is no sink")
        wait_until(lambda: "12\ntracker peers" in text_of(driver, "carried")
                   or "11\ntracker peers" in text_of(driver, "carried"), "the tracker's peers")
        assert driver.title == "Muster" and not driver.find_elements(By.CSS_SELECTOR, "img"), "a name is never markup"
        assert load.session not in driver.page_source
        for dark in (False, True):
            look(driver, dark)
            keep_whole_page(driver, tmp_path, f"carried-{'dark' if dark else 'light'}.png")
        nodes[2].kill()
        wait_until(lambda: "2 networks, 2 servers" in text_of(driver, "relay"), "its server is gone with it")
        wait_until(lambda: "0 ports" in text_of(driver, "ports"), "the port of its driver, too")
        wait_until(lambda: [row.split()[1] for row in row_texts(driver, "sessions")] == ["2", "1"], "its member is not counted")
        assert not complaints(driver)
    loop.run_until_complete(load.stop())
    loop.close()


def test_how_far_a_sink_is_behind(yard, redis, tmp_path):
    postgres = yard.postgres()
    [node] = yard.fleet([redis.url], postgres=postgres.uri)
    sink = begin_sink(yard, redis.url, postgres).ready()
    tile = lambda: text_of(driver, "carried").split("\nlog stream\n")[-1]
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: states(driver) == ["well"] * 2, "the node and the sink")
        wait_until(lambda: re.fullmatch(r"0\.\d s\nsink lag", tile()), "it is up to date", 40)
        postgres.kill()
        stored(node, [{"msg": "x"}] * 5)
        wait_until(lambda: any(state.startswith("PostgreSQL cannot be reached") for state in states(driver)), "the sink is in trouble")
        wait_until(lambda: re.search(r"sink lag · \d", tile()), "entries wait", 40)
        keep_picture(driver, tmp_path, "sink.png")
        sink.kill()
        wait_until(lambda: tile() == "no sink\nsink lag", "there is none", 40)
        assert not complaints(driver)


def test_at_an_address_of_its_own_no_link_leads_nowhere(yard, tmp_path):
    node = yard.begin(admin=f"127.0.0.1:{(admin := free_port())}")
    with chromium(tmp_path) as driver:
        for port in (admin, yard.node().port):
            wait_until(lambda: "for=http" in node.log(), "it listens")
            driver.get(f"http://127.0.0.1:{port}/")
            wait_until(lambda: states(driver) == ["well"], "its card")
            wait_until(lambda: "log viewer" in driver.find_element(By.TAG_NAME, "footer").text, "the link")
            driver.find_element(By.LINK_TEXT, "log viewer").click()
            wait_until(lambda: driver.find_element(By.ID, "state").text == "live", "it leads to the viewer")


def test_folding_by_keyboard_is_kept(yard, tmp_path):
    node = yard.node()
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: states(driver) == ["well"], "its card")
        head = driver.find_element(By.CSS_SELECTOR, "#sessions summary")
        head.send_keys(Keys.SPACE)
        is_open = lambda: driver.find_element(By.ID, "sessions").get_attribute("open") is not None
        wait_until(lambda: not is_open(), "it is folded")
        driver.refresh()
        wait_until(lambda: states(driver) == ["well"], "its card")
        assert not is_open(), "and stays so"
        driver.find_element(By.CSS_SELECTOR, '.tile a[href="#sessions"]').send_keys(Keys.ENTER)
        wait_until(is_open, "what is asked for is unfolded")


def test_fifty_nodes_with_full_lists_stay_smooth(yard, redis, tmp_path):
    [node] = yard.fleet([redis.url])
    figures = json.loads(node.get("/api/status")[1])["nodes"][0]["figures"]

    def speak(number, turn=0):
        say_as_node(redis, number, figures)
        say_lists_as_node(redis, number, full_lists(number + turn))

    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        for number in range(49):
            speak(number)
        wait_until(lambda: len(cards(driver)) == 50, "fifty cards")
        wait_until(lambda: text_of(driver, "relay").startswith("Relay networks") and "2 networks" in text_of(driver, "relay"), "the lists")
        wait_until(lambda: "of its memory" in text_of(driver, "stores"), "Redis was asked")
        tops = "return ['nodes', 'sessions', 'relay', 'ports', 'chat'].map(id => document.getElementById(id).offsetTop)"
        places = driver.execute_script(tops)
        keep_whole_page(driver, tmp_path, "fifty-before.png")
        driver.execute_script(WATCH_DRAWS)
        for number in range(49):
            speak(number, 1)
        wait_until(lambda: driver.execute_script("return seen.draws > 2 && seen.frames.length > 60"), "it draws")
        seen = driver.execute_script("return {...seen, ms: performance.now() - seen.began}")
        print(f"between frames: median {sorted(seen['frames'])[len(seen['frames']) // 2]:.0f} ms; {seen['draws']} draws in {seen['ms']:.0f} ms")
        assert seen["made"] == 0, "news of a node changes texts of its card; no card is made again"
        assert seen["draws"] <= seen["ms"] / DRAW_MS + 2, "however many nodes speak"
        keep_whole_page(driver, tmp_path, "fifty-later.png")
        assert driver.execute_script(tops) == places, "nothing jumps when figures and rows change"
        assert [len(row_texts(driver, part)) for part in ("sessions", "relay", "ports", "chat")] == [8, 10, 8, 8], "a screenful of each"
        assert [row.split()[0] for row in row_texts(driver, "relay")] == ["creative"] * 5 + ["survival"] * 5, "of each network some"
        more = driver.find_element(By.CSS_SELECTOR, "#ports .more button")
        assert more.text == "show 100 more"
        more.send_keys(Keys.ENTER)
        wait_until(lambda: len(row_texts(driver, "ports")) == 108, "a hundred more")
        keep_whole_page(driver, tmp_path, "fifty.png")
        assert not complaints(driver)
    with chromium(tmp_path, width=400, height=800) as driver:
        driver.get(node.http("/"))
        for number in range(49):
            speak(number)
        wait_until(lambda: len(row_texts(driver, "relay")) == 10, "the lists")
        assert sideways(driver) <= 0, "nothing to scroll sideways"
        driver.execute_script("document.getElementById('sessions').scrollIntoView()")
        keep_picture(driver, tmp_path, "fifty-narrow.png")


def test_a_page_opened_while_redis_is_away_says_so(yard, redis, tmp_path):
    node = yard.node(store=redis.url, lease="2s")
    redis.kill()
    wait_until(lambda: node.get("/readyz")[0] == 503, "the node knows")
    with chromium(tmp_path) as driver:
        driver.get(node.http("/"))
        wait_until(lambda: "Redis cannot be reached" in text_of(driver, "verdict"), "the verdict says so")
        assert "There are no figures yet" in text_of(driver, "verdict") and driver.title.startswith("⚠ Redis")
        assert "well" not in text_of(driver, "stores").split()
        redis.start()
        wait_until(lambda: text_of(driver, "verdict") == "All is well" and states(driver) == ["well"], "and when it is back", 40)


async def test_rows_do_not_change_places_while_one_reads(yard, redis, tmp_path):
    nodes = yard.fleet([redis.url] * 3, lease="2s")
    names = "return [...document.querySelectorAll('#nodes .node h3 span:first-child')].map(head => head.textContent)"
    with chromium(tmp_path) as driver:
        driver.get(nodes[0].http("/"))
        wait_until(lambda: states(driver) == ["well"] * 3, "three cards")
        Select(driver.find_element(By.ID, "order")).select_by_value("connections")
        wait_until(lambda: driver.find_elements(By.CSS_SELECTOR, "#nodes .node"), "they are ordered")
        ActionChains(driver).move_to_element(cards(driver)[0]).perform()
        before = driver.execute_script(names)
        busy = next(node for node in nodes if f"node={before[2]} " in node.log())
        clients = [await SyncClient.connect(busy) for _ in range(9)]
        figure = "return [...document.querySelectorAll('#nodes .node')][2].innerText"
        await until(lambda: int(re.search(r"connections\D*(\d+)", driver.execute_script(figure))[1]) >= 9, "its figure is told")
        assert driver.execute_script(names) == before, "nothing moves under the mouse"
        ActionChains(driver).move_to_element(driver.find_element(By.ID, "verdict")).perform()
        await until(lambda: driver.execute_script(names)[0] == before[2], "it moves when nobody reads there")
        for client in clients:
            await client.close()
