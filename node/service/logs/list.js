/* The list: only what can be seen is drawn; a row is as tall as its text has lines. */
const ROW = 20, OVERSCAN = 10;
const list = $("list"), rows = $("rows"), space = $("space");
let pool = [], drawing = false, scrolledTo = 0;

const unitsAll = () => tops[tops.length - 1];
/* The index of the line that covers this row of the list. */
function indexAt(unit) {
  let low = 0, high = shown.length;
  while (low < high) {
    const mid = (low + high + 1) >> 1;
    if (tops[mid] <= unit) low = mid; else high = mid - 1;
  }
  return Math.min(low, Math.max(0, shown.length - 1));
}
const firstShown = () => indexAt(Math.floor(list.scrollTop / ROW));

/* ---------------------------------------------------------------- rows */

const cellNames = () => ["mark", "time", "level", "user", "room", ...columns.map((_, i) => "field" + i), "msg"];
function makeRow() {
  const row = document.createElement("div");
  row.setAttribute("role", "option");
  row.cells = {};
  for (const name of cellNames()) {
    const cell = document.createElement("span");
    cell.className = name.startsWith("field") ? "field" : name;
    row.cells[name] = cell;
    row.append(cell);
  }
  rows.append(row);
  return row;
}
function put(cell, value) {
  if (cell.textContent !== value || cell.childElementCount) cell.textContent = value;
}
/* Text with what was found in it marked. */
function putFound(cell, value, ranges) {
  if (!ranges || ranges.length === 0) { put(cell, value); return; }
  const parts = [];
  let from = 0;
  for (const [start, end] of ranges) {
    if (start >= value.length) break;
    const hit = document.createElement("mark");
    hit.textContent = value.slice(start, end);
    parts.push(value.slice(from, start), hit);
    from = end;
  }
  cell.replaceChildren(...parts, value.slice(from));
}
function bodyOf(line) {
  if (line.units < TALLEST) return line.msg;
  const parts = line.msg.split("\n");
  return parts.length <= TALLEST ? line.msg : parts.slice(0, TALLEST - 1).join("\n") + `\n… ${many(parts.length - TALLEST + 1, "more line")}: Enter shows all`;
}
/* What of a line is searched, cell by cell. */
const cellsOf = line => [line.user.name, line.room.name, ...columns.map(name => fieldOf(line, name)), bodyOf(line)];

const isNarrow = () => list.clientWidth < 700;
const levelWord = line => text(line.raw.level).toLowerCase() || "info";

function drawRow(row, line, index) {
  const { cells } = row, narrow = isNarrow(), ranges = isHit(line) ? line.ranges ?? [] : [];
  row.className = "row " + LEVELS[line.level] + (line === cursor ? " cursor" : "") + (selected.has(line) ? " selected" : "") + (line.stored ? " stored" : "");
  row.style.height = line.units * ROW + "px";
  row.id = "line-" + index;
  row.line = line;
  row.setAttribute("aria-selected", selected.has(line));
  row.setAttribute("aria-posinset", index + 1);
  row.setAttribute("aria-setsize", shown.length);
  put(cells.mark, line.mark ? "◆" : "");
  put(cells.time, narrow ? stamp(at(line)).slice(11, 19) : stamp(at(line)).slice(5));
  put(cells.level, narrow ? levelWord(line).slice(0, 1).toUpperCase() : levelWord(line));
  putFound(cells.user, line.user.name || "–", line.user.name ? ranges[0] : null);
  cells.user.classList.toggle("none", line.user.name === "");
  cells.user.style.setProperty("--hue", line.user.hue);
  putFound(cells.room, line.room.name, ranges[1]);
  columns.forEach((name, i) => putFound(cells["field" + i], fieldOf(line, name), ranges[2 + i]));
  putFound(cells.msg, bodyOf(line), ranges[2 + columns.length]);
}

function drawHead() {
  const words = { mark: "", time: `${view.time}, ${zoneName()}`, level: "level", user: "user", room: "room", msg: "message" };
  $("head").replaceChildren(...cellNames().map(name => {
    const cell = document.createElement("span");
    cell.className = name.startsWith("field") ? "field" : name;
    cell.textContent = words[name] ?? columns[Number(name.slice(5))];
    cell.title = cell.textContent;
    return cell;
  }));
}
/* Other cells than before. */
function remakeRows() {
  rows.replaceChildren();
  pool = [];
  drawHead();
  judgeAll();
  draw();
}

function resize() { space.style.height = unitsAll() * ROW + "px"; }

function drawNow() {
  drawing = false;
  trim();
  resize();
  if (follow) list.scrollTop = unitsAll() * ROW;
  const first = Math.max(0, firstShown() - OVERSCAN);
  const end = Math.ceil((list.scrollTop + list.clientHeight) / ROW);
  let last = first;
  while (last < shown.length && (tops[last] < end || last < first + OVERSCAN)) last++;
  last = Math.min(shown.length, last + OVERSCAN);
  rows.style.transform = `translateY(${tops[first] * ROW}px)`;
  const unknown = [];
  for (let i = first; i < last; i++) {
    const row = pool[i - first] ??= makeRow();
    row.hidden = false;
    if (isHit(shown[i]) && shown[i].ranges === null) unknown.push(shown[i]);
    drawRow(row, shown[i], i);
  }
  work.draws++;
  work.rows += last - first;
  work.rowsOfDraw = Math.max(work.rowsOfDraw, last - first);
  for (let i = last - first; i < pool.length; i++) { pool[i].hidden = true; pool[i].line = null; pool[i].removeAttribute("id"); }
  const now = cursor ? placeOf(shown, cursor.seq) : -1;
  if (now >= first && now < last) list.setAttribute("aria-activedescendant", "line-" + now); else list.removeAttribute("aria-activedescendant");
  const top = shown[firstShown()];
  $("day").textContent = top && at(top) !== null ? `${new Date(at(top)).toLocaleDateString("en", { weekday: "short", timeZone: view.zone === "utc" ? "UTC" : undefined })} ${stamp(at(top)).slice(0, 10)}${top.stored ? " · stored" : ""}` : "";
  if (unknown.length > 0) findRanges(unknown);
  drawCounts();
}
function draw() {
  if (!drawing) { drawing = true; requestAnimationFrame(drawNow); }
}

/* ---------------------------------------------------------------- counts */

let rankOf = null, rankAt = -1, rankRound = -1, rank = 0;
function matchRank() {
  if (rankOf !== cursor || rankAt !== shown.length || rankRound !== round) {
    rank = 0;
    for (const line of shown) { if (isHit(line)) rank++; if (line === cursor) break; }
    [rankOf, rankAt, rankRound] = [cursor, shown.length, round];
  }
  return rank.toLocaleString("en");
}
function drawCounts() {
  $("empty").hidden = shown.length > 0;
  $("empty").textContent = $("state").dataset.state === "token" ? "This page shows nothing without a token." : all.length > 0 ? "No line passes the filters." : "Nothing yet. Lines show here as they come.";
  $("count").textContent = many(shown.length, "line");
  $("hidden-count").textContent = all.length > shown.length ? `${(all.length - shown.length).toLocaleString("en")} filtered out` : "";
  $("selected-count").textContent = selected.size > 0 ? `${selected.size.toLocaleString("en")} selected` : "";
  $("more").hidden = follow || unseen === 0;
  $("more").textContent = `${many(unseen, "new line")} ↓`;
  $("remove").disabled = selected.size === 0 && !cursor;
  $("bookmark").disabled = $("open-detail").disabled = !cursor;
  $("found").textContent = !patterns.search ? "" : hits === 0 ? bulkLeft > 0 ? "…" : "none"
    : cursor && isHit(cursor) ? `${matchRank()} of ${hits.toLocaleString("en")}` : many(hits, "match", "matches");
  $("prev").disabled = $("next").disabled = !patterns.search || hits === 0;
}

/* ---------------------------------------------------------------- scrolling */

list.addEventListener("scroll", () => {
  const atEnd = list.scrollTop + list.clientHeight >= list.scrollHeight - ROW;
  if (atEnd && !selecting()) { follow = true; unseen = 0; }
  else if (list.scrollTop < scrolledTo) follow = false; // only what a person does goes up
  scrolledTo = list.scrollTop;
  draw();
});
/* The pane that opens takes room from the list: the line that it is about stays in sight. */
new ResizeObserver(() => { if (cursor && !$("detail").hidden) reveal(indexOf(cursor)); draw(); drawDensity(); }).observe(list);

function reveal(index) {
  if (index < 0) return;
  const top = tops[index] * ROW, height = shown[index].units * ROW;
  if (top < list.scrollTop || top + Math.min(height, list.clientHeight) > list.scrollTop + list.clientHeight)
    list.scrollTop = Math.max(0, height > list.clientHeight / 2 ? top - ROW : top - list.clientHeight / 2);
}
function toEnd() { follow = true; unseen = 0; getSelection().removeAllRanges(); draw(); }

/* ---------------------------------------------------------------- the line one is at, and those that are selected */

function moveTo(index, extend) {
  if (shown.length === 0) return;
  index = Math.max(0, Math.min(shown.length - 1, index));
  const from = extend && anchor ? indexOf(anchor) : -1;
  cursor = shown[index];
  if (from >= 0) selected = new Set(shown.slice(Math.min(from, index), Math.max(from, index) + 1));
  else anchor = cursor;
  if (index < shown.length - 1) follow = false;
  resize();
  reveal(index);
  if (!$("detail").hidden) drawDetail();
  draw();
}
function start() { return cursor ? indexOf(cursor) : follow ? shown.length - 1 : indexAt(Math.floor((list.scrollTop + list.clientHeight / 2) / ROW)); }
function toggleBookmark() { if (cursor) { cursor.mark = !cursor.mark; draw(); } }
function goWhere(test, step) {
  const n = shown.length, from = cursor ? indexOf(cursor) : step > 0 ? -1 : n;
  for (let i = 1; i <= n; i++) {
    const to = ((from + step * i) % n + n) % n;
    if (test(shown[to])) { moveTo(to); return true; }
  }
  return false;
}

/* The mouse: a drag selects text, a click goes to the line. While text is selected, nothing moves. */
const selecting = () => { const s = getSelection(); return !s.isCollapsed && rows.contains(s.anchorNode); };
document.addEventListener("selectionchange", () => { if (selecting()) follow = false; });
rows.addEventListener("mousedown", event => { if (event.shiftKey) event.preventDefault(); });
rows.addEventListener("click", event => {
  const line = event.target.closest(".row")?.line;
  if (!line || selecting()) return;
  list.focus();
  follow = false;
  if (event.ctrlKey || event.metaKey) {
    if (selected.has(line)) selected.delete(line); else selected.add(line);
    cursor = anchor = line;
    draw();
  } else {
    if (!event.shiftKey) selected = new Set();
    moveTo(indexOf(line), event.shiftKey);
    follow = false;
    if (event.target.closest(".mark")) toggleBookmark(); else if (isNarrow()) toggleDetail(true);
  }
});

/* ---------------------------------------------------------------- the pane */

function pair(name, value, more = "") {
  const title = document.createElement("dt"), body = document.createElement("dd");
  title.textContent = name;
  body.textContent = value + (more ? ` ${more}` : "");
  return [title, body];
}
function drawDetail() {
  if (!cursor) { $("detail").hidden = true; return; }
  const line = cursor, zone = zoneName(), fields = fieldsOf(line), pairs = [];
  if (line.client !== null) pairs.push(pair("client time", stamp(line.client), zone));
  if (line.server !== null) pairs.push(pair("server time", stamp(line.server), zone));
  if (line.stored) pairs.push(pair("kept in", "PostgreSQL"));
  pairs.push(pair("level", levelWord(line)));
  if (line.user.name) pairs.push(pair("user", line.user.name));
  if (line.room.name) pairs.push(pair("room", line.room.name));
  for (const [name, value] of Object.entries(fields)) pairs.push(pair(name, text(value)));
  $("detail-facts").replaceChildren(...pairs.flat());
  $("detail-text").textContent = line.msg;
  const whole = text(line.raw.text);
  $("detail-whole").hidden = line.raw.msg === undefined || whole === "" || whole === line.msg;
  $("detail-whole").textContent = whole;
  $("detail-json").textContent = JSON.stringify(line.raw, null, 2);
  $("link-line").disabled = !line.raw.seqNumber;
}
function toggleDetail(open) {
  $("detail").hidden = !open || !cursor;
  if (open) drawDetail();
  if (open && cursor) reveal(indexOf(cursor));
  draw();
}

/* ---------------------------------------------------------------- density: how many lines, when */

let densityStale = true, span = null;
/* A length of time for people: ms below a second. */
const lengthOf = ms => ms < 1000 ? `${Math.max(1, Math.round(ms))} ms` : `${Number((ms / 1000).toPrecision(2))} s`;
function drawDensity() {
  const canvas = $("density"), scale = devicePixelRatio || 1, width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
  if (width === 0) return;
  densityStale = false;
  canvas.width = width;
  canvas.height = height;
  let from = Infinity, to = -Infinity;
  for (const line of shown) { const t = at(line); if (t !== null) { if (t < from) from = t; if (t > to) to = t; } }
  span = to > from ? { from, to } : null;
  $("from").textContent = $("to").textContent = "";
  if (!span) { canvas.setAttribute("aria-label", "Lines over time: too few"); return; }
  const count = Math.max(20, Math.floor(width / (5 * scale))), buckets = Array.from({ length: count }, () => [0, 0, 0]);
  for (const line of shown) {
    const t = at(line);
    if (t !== null) buckets[Math.min(count - 1, Math.floor((t - from) / (to - from) * count))][line.level >= 4 ? 2 : line.level === 3 ? 1 : 0]++;
  }
  const top = Math.max(1, ...buckets.map(([a, b, c]) => a + b + c)), paint = canvas.getContext("2d"), style = getComputedStyle(document.documentElement);
  const colours = ["--accent", "--mark", "--bad"].map(name => style.getPropertyValue(name));
  buckets.forEach((parts, i) => {
    let y = height;
    parts.slice().reverse().forEach((n, k) => {
      if (n === 0) return;
      const tall = Math.max(scale, n / top * (height - scale));
      paint.fillStyle = colours[2 - k];
      paint.fillRect(i / count * width, y - tall, width / count - scale, tall);
      y -= tall;
    });
  });
  const day = stamp(from).slice(0, 10) === stamp(to).slice(0, 10) ? 11 : 5;
  $("from").textContent = stamp(from).slice(day, 19);
  $("to").textContent = `${stamp(to).slice(day, 19)} · ${top.toLocaleString("en")} at most in ${lengthOf((to - from) / count)}`;
  const errors = buckets.reduce((n, parts) => n + parts[2], 0);
  canvas.setAttribute("aria-label", `Lines over time, ${stamp(from)} to ${stamp(to)}: ${many(shown.length, "line")}, ${many(errors, "error")}`);
}
$("density").onclick = event => {
  if (!span) return;
  const wanted = span.from + event.offsetX / event.target.clientWidth * (span.to - span.from);
  let best = 0;
  for (let i = 1; i < shown.length; i++) if (Math.abs(at(shown[i]) - wanted) < Math.abs(at(shown[best]) - wanted)) best = i;
  follow = false;
  moveTo(best);
};
/* Of many lines more seldom: each drawing goes over all that are shown. */
let densityDue = 0;
setInterval(() => {
  if (!densityStale || performance.now() < densityDue) return;
  const began = performance.now();
  drawDensity();
  densityDue = performance.now() + 50 * (performance.now() - began);
}, 1000);
