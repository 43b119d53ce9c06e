# SPDX-License-Identifier: MIT
"""The viewer, in headless Chromium: what a person sees and does."""

import json
import random

import pytest

from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.wheel_input import ScrollOrigin
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from lib.browser import chromium
from lib.logs import add, stored
from lib.waiting import wait_until

ROWS = "return [...document.querySelectorAll('.row')].filter(r => !r.hidden).map(r => r.querySelector('.msg').textContent)"


class Viewer:
    """The page and its parts."""

    def __init__(self, driver, node, query=""):
        self.driver = driver
        driver.get(node.http("/logs.html" + query))
        self.wait_live()

    def wait_live(self):
        wait_until(lambda: self.part("state").text == "live", "the page is live", 40)

    def part(self, name):
        return self.driver.find_element(By.ID, name)

    def rows(self):
        """The lines that are drawn, top down."""
        return self.driver.execute_script(ROWS)

    def lines(self):
        return int(self.part("count").text.split()[0].replace(",", ""))

    def wait_lines(self, count):
        wait_until(lambda: self.lines() == count, f"{count} lines are shown")

    def keys(self, *keys):
        self.part("list").send_keys(*keys)

    def type(self, name, text):
        part = self.part(name)
        part.send_keys(Keys.CONTROL, "a")
        part.send_keys(text if text else Keys.DELETE)

    def cursor(self):
        rows = self.driver.find_elements(By.CSS_SELECTOR, ".row.cursor:not([hidden]) .msg")
        return rows[0].text if rows else None

    def choose(self, facet, name):
        """Ticks or unticks a user or a room in its open menu."""
        self.driver.find_element(By.XPATH, f"//div[@id='{facet}']//label[span='{name}']/input").click()

    def hint(self, query):
        return self.driver.find_element(By.CSS_SELECTOR, query)

    def at_end(self):
        return self.driver.execute_script(
            "const l = document.getElementById('list'); return l.scrollTop + l.clientHeight >= l.scrollHeight - 30")

    def faults(self):
        return [line for line in self.driver.get_log("browser") if line["level"] == "SEVERE" and "WebSocket" not in line["message"]]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    with chromium(folder, downloads=folder) as driver:
        driver.folder = folder
        yield driver


@pytest.fixture
def pair(yard, redis):
    return yard.fleet([redis.url] * 2)


def lines(count, first=0, **fields):
    return [{"msg": f"line {first + i}", "room": "R", "user": f"user{(first + i) % 3}", "level": "info", **fields} for i in range(count)]


def test_lines_of_another_node_come_live(driver, pair):
    a, b = pair
    stored(b, lines(30))
    viewer = Viewer(driver, a, "?room=R&hide=node")
    wait_until(lambda: "line 29" in viewer.rows(), "what was there before")
    stored(b, lines(5, 30))
    wait_until(lambda: "line 34" in viewer.rows(), "a live line")
    assert viewer.at_end()
    assert not viewer.faults()


def test_filters_users_and_levels(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R")
    viewer.type("exclude", "serving|listening|link up")
    stored(b, lines(9) + [{"msg": "careful", "level": "Warn", "room": "R", "user": "user0"}, {"msg": "broken", "level": "ERROR", "room": "R"}])
    viewer.wait_lines(11)
    for level in ("trace", "debug", "info"):
        viewer.part(f"level-{level}").click()
    viewer.wait_lines(2)
    assert viewer.rows() == ["careful", "broken"]
    assert "levels=warn%2Cerror%2Cfatal" in driver.current_url
    for level in ("trace", "debug", "info"):
        viewer.part(f"level-{level}").click()
    viewer.type("include", "line [0-4]$")
    viewer.wait_lines(5)
    viewer.type("exclude", "line 3|serving|listening|link up")
    viewer.wait_lines(4)
    viewer.type("include", "")
    viewer.wait_lines(10)
    viewer.part("users-title").click()
    wait_until(lambda: "user1" in viewer.part("users").text, "the users")
    viewer.choose("users", "user1")
    viewer.wait_lines(7)
    assert "1 hidden" in viewer.part("users-title").text
    stored(b, lines(3, 100))
    viewer.wait_lines(9)
    assert "level" not in driver.current_url and "hide=" in driver.current_url and "nouser=user1" in driver.current_url
    viewer.keys(Keys.ESCAPE)
    viewer.type("include", "(")  # no pattern: taken as it stands, and shown to be none
    wait_until(lambda: viewer.part("include").get_attribute("aria-invalid") == "true", "it is marked")
    viewer.wait_lines(0)
    assert not viewer.faults()


def test_search_bookmarks_delete_and_save_by_keyboard(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link+up")
    stored(b, lines(300))
    viewer.wait_lines(300)
    viewer.keys("/")
    driver.switch_to.active_element.send_keys("line 12", Keys.ENTER)
    wait_until(lambda: viewer.cursor() == "line 12", "the first match")
    assert viewer.part("found").text == "1 of 11"
    viewer.keys("n")
    wait_until(lambda: viewer.cursor() == "line 120", "the next")
    viewer.keys("b")
    viewer.keys("N")
    wait_until(lambda: viewer.cursor() == "line 12", "the one before")
    viewer.keys("]")
    wait_until(lambda: viewer.cursor() == "line 120", "the bookmark")
    viewer.keys(Keys.SHIFT, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    wait_until(lambda: viewer.part("selected-count").text == "3 selected", "three are selected")
    viewer.keys(Keys.DELETE)
    viewer.wait_lines(297)
    assert "line 121" not in viewer.rows()
    viewer.keys(Keys.HOME)
    wait_until(lambda: viewer.cursor() == "line 0", "the first line")
    viewer.keys(Keys.ENTER)
    wait_until(lambda: '"seqNumber"' in viewer.part("detail-json").get_attribute("textContent"), "the line in full")
    viewer.keys(Keys.ESCAPE)
    driver.find_element(By.XPATH, "//summary[.='Save']").click()
    viewer.part("save-json").click()
    saved = wait_until(lambda: list(driver.folder.glob("logs-R-*.jsonl")), "the file")[0]
    wait_until(lambda: len(saved.read_text().splitlines()) == 297, "all of it")
    assert json.loads(saved.read_text().splitlines()[0])["msg"] == "line 0"
    assert not viewer.faults()


def test_it_stays_at_the_end_until_one_scrolls_up(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R")
    stored(b, lines(200))
    wait_until(lambda: "line 199" in viewer.rows(), "the last")
    ActionChains(driver).scroll_from_origin(ScrollOrigin.from_element(viewer.part("list")), 0, -800).perform()
    wait_until(lambda: not viewer.at_end(), "scrolled up")
    seen = wait_until(viewer.rows, "rows")
    top = driver.execute_script("return document.getElementById('list').scrollTop")
    stored(b, lines(50, 200))
    wait_until(lambda: "50 new lines" in viewer.part("more").text, "it says what is new")
    assert driver.execute_script("return document.getElementById('list').scrollTop") == top and viewer.rows() == seen
    viewer.part("more").click()
    wait_until(lambda: "line 249" in viewer.rows(), "back at the end")
    stored(b, lines(5, 250))
    wait_until(lambda: "line 254" in viewer.rows() and viewer.at_end(), "and it stays there")


def test_it_survives_the_death_of_its_node(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link")
    stored(b, lines(20))
    viewer.wait_lines(20)
    a.kill()
    wait_until(lambda: viewer.part("state").text != "live", "it notices")
    stored(b, lines(20, 20))
    a.start().ready()
    viewer.wait_live()
    viewer.wait_lines(40)  # what was missed, and nothing twice
    assert viewer.rows()[-1] == "line 39"


def test_markup_in_lines_is_text(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link")
    stored(b, {"msg": "<img src=x onerror=\"document.title='owned'\"> & <b>", "user": "<i>u</i>", "room": "R"})
    viewer.wait_lines(1)
    assert viewer.rows() == ["<img src=x onerror=\"document.title='owned'\"> & <b>"]
    assert driver.title != "owned"


# What the page does for a frame and for a message, by its own counts: the clock tells of others on a busy machine.
WATCH_FRAMES = """
    window.gaps = [];
    window.drawsOfFrame = 0;
    Object.keys(work).forEach(name => { work[name] = 0; });
    let last = performance.now(), draws = 0;
    const tick = now => {
        gaps.push(now - last);
        last = now;
        drawsOfFrame = Math.max(drawsOfFrame, work.draws - draws);
        draws = work.draws;
        requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);"""
IN_SIGHT = 150   # rows of the list that can be seen, and some more
A_MESSAGE = 500  # lines in one message of a node's


def test_100000_lines_without_stutter(driver, pair):
    """Lines pour in while one scrolls: what the page does for a frame and for a message does not grow with what it holds."""
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link")
    driver.execute_script(WATCH_FRAMES)
    dice = random.Random(3)
    for i in range(100):
        stored(b, lines(1000, i * 1000, level=dice.choice(["debug", "info", "warn", "error"])))
        if i % 10 == 9:
            viewer.keys(dice.choice([Keys.PAGE_UP, Keys.END, Keys.HOME]))
    viewer.wait_lines(100000)
    for key in [Keys.HOME, Keys.END, Keys.PAGE_UP, Keys.PAGE_UP, Keys.HOME, Keys.PAGE_DOWN] * 5:
        viewer.keys(key)
    work, draws, gaps = driver.execute_script("return [work, drawsOfFrame, gaps.sort((a, b) => a - b)]")
    print(f"between frames: median {gaps[len(gaps) // 2]:.0f} ms, p99 {gaps[int(len(gaps) * .99)]:.0f} ms; {work}")
    assert work["draws"] > 20 and work["rows"] > 500, "it was counted"
    assert 0 < work["rowsOfDraw"] < IN_SIGHT and draws <= 2, "a frame writes what can be seen, and not for each message"
    assert 0 < work["linesOfMessage"] <= A_MESSAGE, "lines come in small messages"
    assert work["passes"] == 0, "no line that comes has the page go through all others"
    assert driver.execute_script("return document.querySelectorAll('.row').length") < IN_SIGHT, "only what can be seen is there"
    assert not viewer.faults()


def test_a_token_is_taken_from_the_address_and_out_of_it(yard, driver):
    a = yard.node(logs_listen_token="secret")
    add(a, {"msg": "behind a token", "room": "R"})
    for query in ("?room=R#token=secret", "?room=R&token=secret"):
        viewer = Viewer(driver, a, query)
        wait_until(lambda: "behind a token" in viewer.rows(), "the line")
        assert "secret" not in driver.current_url
        driver.refresh()
        viewer.wait_live()  # it is kept in the session
        driver.execute_script("sessionStorage.clear()")


def test_a_token_that_is_missing_or_wrong_is_asked_for(yard, driver, tmp_path):
    a = yard.node(logs_listen_token="s\u00e9cret/+?")
    add(a, {"msg": "behind a token", "room": "R"})
    driver.get(a.http("/logs.html?room=R"))
    wait_until(lambda: viewer_asks(driver), "it asks")
    assert "logs-listen-token" in driver.find_element(By.ID, "token-why").text
    driver.switch_to.active_element.send_keys("wrong", Keys.ENTER)
    wait_until(lambda: viewer_asks(driver) and "does not take" in driver.find_element(By.ID, "token-why").text, "it says that it is wrong")
    assert driver.save_screenshot(str(tmp_path / "token.png"))
    driver.find_element(By.CSS_SELECTOR, "#token-box button[value=no]").click()
    assert driver.find_element(By.ID, "state").text == "a token is wanted"
    driver.find_element(By.ID, "give-token").click()
    driver.switch_to.active_element.send_keys("s\u00e9cret/+?", Keys.ENTER)
    wait_until(lambda: driver.find_element(By.ID, "state").text == "live", "it is live")
    driver.execute_script("sessionStorage.clear()")


def viewer_asks(driver):
    return driver.execute_script("const box = document.getElementById('token-box'); return box !== null && box.open")


def test_text_of_many_lines_is_shown_as_lines(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link")
    trace = "boom\n  at one (a.js:1)\n  at two (b.js:2)"
    stored(b, [{"msg": trace, "room": "R", "level": "fatal"}, {"msg": "after\r\n", "room": "R"}, {"msg": "\n".join(f"row {i}" for i in range(500)), "room": "R"}])
    viewer.wait_lines(3)
    driver.execute_script("document.getElementById('list').scrollTop = 0")
    wait_until(lambda: viewer.rows()[:2] == [trace, "after"], "the lines")
    heights = driver.execute_script("return [...document.querySelectorAll('.row:not([hidden])')].slice(0, 2).map(r => r.offsetHeight)")
    assert heights[0] == 3 * heights[1] > 0
    assert "… 441 more lines" in viewer.rows()[2]
    viewer.keys(Keys.HOME, Keys.ENTER)
    wait_until(lambda: viewer.part("detail-text").text == trace, "lines in the pane, too")
    assert "fatal" in viewer.part("detail-facts").text


def test_time_zone_client_and_server_time(driver, pair):
    a, b = pair
    driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link")
    stored(b, {"msg": "then", "room": "R", "timestamp": 1700000000123})
    viewer.wait_lines(1)
    time_cell = lambda: viewer.hint(".row:not([hidden]) .time").text
    wait_until(lambda: time_cell() == "11-15 03:43:20.123", "in the browser's zone")
    assert "UTC+05:30" in viewer.part("head").text and "2023-11-15" in viewer.part("day").text
    viewer.part("zone").click()
    wait_until(lambda: time_cell() == "11-14 22:13:20.123" and "2023-11-14" in viewer.part("day").text, "in UTC")
    viewer.keys(Keys.HOME, Keys.ENTER)
    facts = wait_until(lambda: viewer.part("detail-facts").text, "the pane")
    assert "client time\n2023-11-14 22:13:20.123 UTC" in facts and "server time\n20" in facts
    viewer.keys(" ")
    copied = driver.execute_script("""const event = new ClipboardEvent("copy", {clipboardData: new DataTransfer(), bubbles: true, cancelable: true});
        document.body.dispatchEvent(event);
        return event.clipboardData.getData("text/plain");""")
    assert copied.startswith("2023-11-14 22:13:20.123 UTC info - [R] then"), "copied as it is shown"
    viewer.keys("t")
    wait_until(lambda: time_cell() != "11-14 22:13:20.123" and "server" in viewer.part("head").text, "the server's time")
    viewer.keys("t", "u")
    wait_until(lambda: time_cell() == "11-15 03:43:20.123", "as before")
    driver.execute_cdp_cmd("Emulation.setTimezoneOverride", {"timezoneId": ""})


def test_text_is_selected_with_the_mouse_and_stays(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&hide=serving|listening|link")
    stored(b, lines(60))
    wait_until(lambda: "line 59" in viewer.rows(), "the lines")
    row = driver.find_element(By.XPATH, "//div[@class='row info'][not(@hidden)]/span[.='line 55']")
    ActionChains(driver).move_to_element_with_offset(row, -row.size["width"] // 2 + 2, 0).click_and_hold().move_by_offset(300, 0).release().perform()
    assert driver.execute_script("return String(getSelection())") == "line 55"
    stored(b, lines(40, 60))
    wait_until(lambda: "40 new lines" in viewer.part("more").text, "nothing moves meanwhile")
    assert driver.execute_script("return String(getSelection())") == "line 55"


def test_rooms_are_chosen_with_counts_and_back_undoes_it(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?nouser=server")
    stored(b, lines(6) + lines(3, 6, room="Q") + lines(2, 9, room="Z"))
    viewer.wait_lines(11)
    viewer.part("rooms-title").click()
    wait_until(lambda: "Q\n3" in viewer.part("rooms").text and "R\n6" in viewer.part("rooms").text, "rooms with their counts")
    viewer.choose("rooms", "Q")
    viewer.wait_lines(8)
    assert "notin=Q" in driver.current_url
    viewer.hint("button[aria-label='only Z']").click()
    viewer.wait_lines(2)
    assert "in=Z" in driver.current_url
    driver.back()
    viewer.wait_lines(8)
    driver.back()
    viewer.wait_lines(11)
    driver.forward()
    viewer.wait_lines(8)
    driver.refresh()
    viewer.wait_live()
    viewer.wait_lines(8)


def test_levels_each_on_or_off(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&nouser=server")
    levels = ["trace", "debug", "info", "warn", "error", "fatal"]
    stored(b, [{"msg": level, "level": level, "room": "R"} for level in levels])
    viewer.wait_lines(6)
    viewer.part("level-error").click()
    viewer.wait_lines(5)
    assert viewer.rows() == [level for level in levels if level != "error"], "fatal is a level of its own"
    assert viewer.part("level-error").get_attribute("aria-pressed") == "false"
    viewer = Viewer(driver, a, "?room=R&nouser=server&level=warn")  # addresses of before
    viewer.wait_lines(3)


def test_a_link_leads_to_its_line(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&nouser=server")
    stored(b, lines(300))
    viewer.wait_lines(300)
    viewer.keys("/")
    driver.switch_to.active_element.send_keys("line 42", Keys.ENTER)
    wait_until(lambda: viewer.cursor() == "line 42", "the line")
    viewer.keys("l")
    link = wait_until(lambda: "#line=" in driver.current_url and driver.current_url, "the link")
    driver.get("about:blank")
    driver.get(link.split("?")[0] + "?room=R#" + link.split("#")[1])
    wait_until(lambda: viewer.cursor() == "line 42" and viewer.part("detail").is_displayed(), "it is found, and shown in full", 40)
    driver.get("about:blank")
    driver.get(link.split("?")[0] + "?room=R#line=12345")
    wait_until(lambda: "not among the last lines" in viewer.part("said").text, "one that is gone is said to be", 40)


def test_search_is_in_the_address_and_back_works(driver, pair):
    a, b = pair
    stored(b, lines(30))
    viewer = Viewer(driver, a, "?room=R&nouser=server&q=line+2")
    wait_until(lambda: viewer.part("found").text == "11 matches", "the search of the address")
    viewer.type("include", "line 1")
    viewer.wait_lines(11)
    driver.back()
    viewer.wait_lines(30)
    assert viewer.part("include").get_attribute("value") == "" and viewer.part("search").get_attribute("value") == "line 2"


def test_a_pause_that_says_so(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&nouser=server")
    stored(b, lines(5))
    viewer.wait_lines(5)
    viewer.part("pause").click()
    stored(b, lines(4, 5))
    wait_until(lambda: viewer.part("pause").text == "Go on (4 lines waiting)", "they wait, counted")
    assert viewer.lines() == 5 and viewer.part("state").text == "paused" and driver.title.startswith("⏸")
    viewer.keys("p")
    viewer.wait_lines(9)
    assert viewer.part("state").text == "live"


def test_the_pane_never_hides_its_line(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&nouser=server")
    stored(b, lines(200))
    viewer.wait_lines(200)
    for keys in ([Keys.END], [Keys.END, Keys.PAGE_UP], [Keys.END, Keys.ARROW_UP, Keys.ARROW_UP]):
        viewer.keys(Keys.ESCAPE, *keys, Keys.ENTER)
        wait_until(lambda: viewer.part("detail").is_displayed(), "the pane")
        wait_until(lambda: driver.execute_script("""const row = document.querySelector(".row.cursor:not([hidden])"), list = document.getElementById("list");
            if (!row) return false;
            const a = row.getBoundingClientRect(), b = list.getBoundingClientRect();
            return a.top >= b.top - 1 && a.bottom <= b.bottom + 1;"""), "its line is in sight")
        viewer.keys(Keys.ENTER)


@pytest.mark.parametrize("field, query", [("include", "show"), ("exclude", "hide"), ("search", "q")])
def test_a_pattern_that_never_ends_is_stopped(driver, pair, field, query):
    a, b = pair
    stored(b, [{"msg": "a word and a word and a word and a word and a word " * 4, "room": "R", "user": "u"}, {"msg": "short", "room": "R", "user": "u"}])
    viewer = Viewer(driver, a, f"?room=R&nouser=server&{query}=(%5Cw%2B%5Cs%3F)%2B!%24")
    slowest = driver.execute_async_script("""const done = arguments[arguments.length - 1], end = performance.now() + 1000;
        let last = performance.now(), worst = 0;
        const tick = now => { worst = Math.max(worst, now - last); last = now; if (now < end) requestAnimationFrame(tick); else done(worst); };
        requestAnimationFrame(tick);""")
    assert slowest < 900, "the page turns while the pattern is tried"
    wait_until(lambda: viewer.part(field + "-note").text == "stopped: it took too long", "it is stopped", 40)
    viewer.wait_lines(2)
    viewer.type(field, "short")
    wait_until(lambda: viewer.part(field + "-note").text == "", "another is taken")
    wait_until(lambda: viewer.part("found").text == "1 match" if field == "search" else viewer.lines() == 1, "and works")


def test_columns_from_fields_and_density(driver, pair):
    a, b = pair
    viewer = Viewer(driver, a, "?room=R&nouser=server")
    stored(b, [{"msg": f"m{i}", "room": "R", "level": "error" if i > 7 else "info", "tick": i * 10, "shard": "eu", "timestamp": 1700000000000 + i * 1000} for i in range(10)])
    viewer.wait_lines(10)
    driver.find_element(By.XPATH, "//summary[.='View']").click()
    wait_until(lambda: "tick\n10" in viewer.part("columns").text, "the fields, with counts")
    driver.find_element(By.XPATH, "//div[@id='columns']//label[contains(., 'tick')]/input").click()
    cells = "return [...document.querySelectorAll('.row:not([hidden]) .field')].map(c => c.textContent)"
    wait_until(lambda: driver.execute_script(cells) == [str(i * 10) for i in range(10)], "a column")
    assert "cols=tick" in driver.current_url
    viewer.type("include", "70")
    viewer.wait_lines(1)
    viewer.type("include", "")
    viewer.wait_lines(10)
    wait_until(lambda: "10 lines, 2 errors" in viewer.part("density").get_attribute("aria-label"), "the density says how many")
    wait_until(lambda: driver.execute_script("const c = document.getElementById('density'); return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(x => x > 0)"), "and draws it")
    viewer.keys(Keys.ESCAPE)
    viewer.part("density").click()
    wait_until(lambda: viewer.cursor() in ("m4", "m5"), "a click goes there")
