/* What one clicks, types and links to: menus, keys, the address, saving. */

/* ---------------------------------------------------------------- users, rooms, columns to choose from */

function choice(item, facet) {
  const row = document.createElement("div"), label = document.createElement("label"), box = document.createElement("input"), name = document.createElement("span"),
    count = document.createElement("span"), only = document.createElement("button");
  row.className = "choice";
  box.type = "checkbox";
  box.onchange = () => change(() => facet.toggle(item.name));
  name.textContent = item.name || facet.nobody;
  if (facet === users) name.style.color = `hsl(${item.hue} 65% var(--user-light))`;
  count.className = "count";
  only.type = "button";
  only.textContent = "only";
  only.setAttribute("aria-label", `only ${item.name || facet.nobody}`);
  only.onclick = () => change(() => facet.set([item.name], []));
  label.append(box, name, count);
  row.append(label, only);
  Object.assign(row, { box, count });
  return row;
}
function drawFacet(facet) {
  const { id } = facet, part = $(id);
  $(id + "-title").textContent = facet.only.size > 0 ? `${facet.title}: ${facet.only.size === 1 ? [...facet.only][0] || facet.nobody : facet.only.size + " chosen"}`
    : facet.hidden.size > 0 ? `${facet.title} (${facet.hidden.size} hidden)` : facet.title;
  if (!$(id + "-box").open) return;
  for (const name of [...facet.only, ...facet.hidden]) facet.of(name); // what the address names may not have come yet
  const wanted = $(id + "-find").value.toLowerCase();
  const items = [...facet.items.values()].filter(item => (item.count > 0 || facet.only.has(item.name) || facet.hidden.has(item.name)) && item.name.toLowerCase().includes(wanted))
    .sort((a, b) => b.count - a.count).slice(0, 300);
  const old = new Map([...part.children].map(row => [row.name, row]));
  // Where the focus is, rows keep their places.
  const order = part.matches(":focus-within, :hover") ? [...items].sort((a, b) => (old.has(b.name) - old.has(a.name)) || (old.get(a.name)?.at ?? 0) - (old.get(b.name)?.at ?? 0)) : items;
  order.forEach((item, i) => {
    let row = old.get(item.name);
    if (!row) { row = choice(item, facet); row.name = item.name; }
    old.delete(item.name);
    row.at = i;
    row.box.checked = item.passes;
    put(row.count, item.count.toLocaleString("en"));
    if (part.children[i] !== row) part.insertBefore(row, part.children[i] ?? null);
  });
  for (const row of old.values()) row.remove();
}
function drawLevels() {
  LEVELS.forEach((level, i) => {
    const button = $("level-" + level);
    button.setAttribute("aria-pressed", levelsOn[i]);
    put(button.lastChild, levelCounts[i] > 0 ? ` ${short(levelCounts[i])}` : "");
  });
}
const short = n => n < 1000 ? String(n) : n < 1e6 ? `${(n / 1000).toFixed(n < 10000 ? 1 : 0)}k` : `${(n / 1e6).toFixed(1)}M`;
function drawColumns() {
  if (!$("view-box").open || $("columns").matches(":focus-within")) return;
  const names = [...new Set([...columns, ...[...fieldCounts].sort((a, b) => b[1] - a[1]).map(([name]) => name)])].slice(0, 60);
  $("columns").replaceChildren(...names.map(name => {
    const label = document.createElement("label"), box = document.createElement("input"), count = document.createElement("span");
    box.type = "checkbox";
    box.checked = columns.includes(name);
    box.onchange = () => { setColumns(box.checked ? [...columns, name] : columns.filter(one => one !== name)); remember(); };
    count.className = "count";
    count.textContent = (fieldCounts.get(name) ?? 0).toLocaleString("en");
    label.append(box, name, count);
    return label;
  }));
  $("no-columns").hidden = names.length > 0;
}
function drawMenus() { drawFacet(users); drawFacet(rooms); drawLevels(); drawColumns(); }
setInterval(drawMenus, 1000);
for (const facet of [users, rooms]) {
  $(facet.id + "-box").addEventListener("toggle", () => drawFacet(facet));
  $(facet.id + "-find").oninput = () => drawFacet(facet);
  $(facet.id + "-all").onclick = () => change(() => facet.set([], []));
}
$("view-box").addEventListener("toggle", drawColumns);

/* What is shown changes by a choice: a step that Back undoes. */
function change(how) { how(); refilter(); drawMenus(); remember(); }

LEVELS.forEach((level, i) => {
  const button = document.createElement("button");
  button.type = "button";
  button.id = "level-" + level;
  button.className = "level-" + level;
  button.title = `Show or hide ${level} lines; double click: only these`;
  button.append(level, document.createElement("small"));
  button.onclick = () => change(() => { levelsOn[i] = !levelsOn[i]; });
  button.ondblclick = () => change(() => LEVELS.forEach((_, k) => { levelsOn[k] = k === i; }));
  $("levels").append(button);
});

function setColumns(names) {
  if (names.join("\n") === columns.join("\n")) return;
  columns = names.slice(0, 8);
  remakeRows();
}

/* ---------------------------------------------------------------- patterns */

function soon(fn) { let timer; return () => { clearTimeout(timer); timer = setTimeout(fn, 120); }; }
for (const name of ["include", "exclude", "search"]) {
  $(name).oninput = soon(() => { setPattern(name); remember($(name)); });
  $(name).addEventListener("change", () => { editing = null; });
}
let searchStep = 0; // a step that waits for the worker's answer
const findNext = step => patterns.search && goWhere(isHit, step);
$("next").onclick = () => findNext(1);
$("prev").onclick = () => findNext(-1);
$("search").addEventListener("keydown", event => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  setPattern("search");
  const step = event.shiftKey ? -1 : 1;
  if (bulkLeft > 0) searchStep = step; else findNext(step);
  editing = null;
});
function onSearched() {
  if (searchStep) findNext(searchStep);
  searchStep = 0;
}

/* ---------------------------------------------------------------- keys */

const page = () => Math.max(1, Math.floor(list.clientHeight / ROW) - 1);
const listKeys = {
  ArrowDown: event => moveTo(start() + 1, event.shiftKey), ArrowUp: event => moveTo(start() - (cursor ? 1 : 0), event.shiftKey),
  PageDown: event => moveTo(start() + page(), event.shiftKey), PageUp: event => moveTo(start() - page(), event.shiftKey),
  Home: event => moveTo(0, event.shiftKey),
  End: event => { moveTo(shown.length - 1, event.shiftKey); toEnd(); },
  Enter: () => { if (!cursor) moveTo(start()); toggleDetail($("detail").hidden); },
  " ": () => { if (!cursor) moveTo(start()); else { if (selected.has(cursor)) selected.delete(cursor); else selected.add(cursor); draw(); } },
  Delete: remove,
};
const anyKeys = {
  b: toggleBookmark, n: () => findNext(1), N: () => findNext(-1),
  "[": () => goWhere(line => line.mark, -1), "]": () => goWhere(line => line.mark, 1),
  "/": () => { bar(true); $("search").focus(); $("search").select(); },
  h: () => { if (cursor) { const { name } = cursor.user; change(() => users.set(users.only, [...users.hidden, name])); } },
  l: linkLine, o: loadOlder, p: () => pause(!paused), u: () => setView("zone", view.zone === "utc" ? "local" : "utc"), t: () => setView("time", view.time === "server" ? "client" : "server"),
  "?": () => $("keys").showModal(),
};
document.addEventListener("keydown", event => {
  const typing = event.target.matches("input, select, textarea");
  if (document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    const open = [...document.querySelectorAll("header details[open]")];
    for (const box of open) box.open = false;
    if (open.length === 0) { if (!$("detail").hidden) toggleDetail(false); else { selected = new Set(); cursor = null; getSelection().removeAllRanges(); } }
    list.focus();
    draw();
    return;
  }
  if (typing) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a" && event.target === list) { selected = new Set(shown); event.preventDefault(); draw(); return; }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.target === list || event.target === document.body ? listKeys[event.key] ?? anyKeys[event.key] : anyKeys[event.key];
  if (key) { event.preventDefault(); key(event); }
});
document.addEventListener("click", event => {
  for (const box of document.querySelectorAll("header details[open]")) if (!box.contains(event.target)) box.open = false;
});
$("help").onclick = () => $("keys").showModal();
$("close-detail").onclick = () => { toggleDetail(false); list.focus(); };
$("open-detail").onclick = () => { toggleDetail($("detail").hidden); list.focus(); };
$("link-line").onclick = linkLine;
$("bookmark").onclick = toggleBookmark;
$("remove").onclick = () => { remove(); list.focus(); };
$("more").onclick = () => { toEnd(); list.focus(); };
$("pause").onclick = () => pause(!paused);
function bar(open) { $("bar").classList.toggle("open", open); $("fold").setAttribute("aria-expanded", open); }
$("fold").onclick = () => bar(!$("bar").classList.contains("open"));

/* ---------------------------------------------------------------- copying and saving: as on the screen */

const lineText = line => `${stamp(at(line)) || "-"} ${zoneName()} ${levelWord(line)} ${line.user.name || "-"}${line.room.name ? " [" + line.room.name + "]" : ""}`
  + columns.map(name => ` ${name}=${fieldOf(line, name)}`).join("") + ` ${line.msg}`;
const textOf = lines => lines.map(lineText).join("\n") + "\n";
/* The lines that the mouse's selection touches. */
function touched() {
  const range = getSelection().getRangeAt(0);
  return pool.filter(row => row.line && range.intersectsNode(row)).map(row => row.line);
}
document.addEventListener("copy", event => {
  if (event.target.matches?.("input, textarea")) return;
  const byMouse = selecting() ? touched() : [];
  if (selecting() ? byMouse.length < 2 : selected.size === 0 || String(getSelection())) return; // a part of one line: as it is
  event.clipboardData.setData("text/plain", textOf(byMouse.length > 1 ? byMouse : [...selected].sort((a, b) => a.seq - b.seq)));
  event.preventDefault();
});
function save(content, type, ending) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = `logs-${$("room").value.replace(/[^\w-]+/g, "_") || "all"}-${new Date().toISOString().slice(0, 19).replace(/:/g, "")}.${ending}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}
$("save-text").onclick = () => save(textOf(shown), "text/plain", "log");
$("save-json").onclick = () => save(shown.map(line => JSON.stringify(line.raw)).join("\n") + "\n", "application/x-ndjson", "jsonl");

function tell(words) {
  $("said").textContent = words;
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => { $("said").textContent = ""; }, 8000);
}
function linkLine() {
  if (!cursor?.raw.seqNumber) return;
  const link = new URL(location.pathname, location.href), room = $("room").value.trim();
  if (room) link.searchParams.set("room", room);
  link.hash = "line=" + cursor.raw.seqNumber;
  history.replaceState(history.state, "", location.pathname + location.search + link.hash);
  const copied = () => tell("The link to this line is in the clipboard.");
  if (navigator.clipboard) navigator.clipboard.writeText(link.href).then(copied, () => tell("The link to this line is in the address."));
  else tell("The link to this line is in the address.");
}

/* ---------------------------------------------------------------- zone and time */

function setView(name, value) {
  view[name] = value;
  try { localStorage.setItem("logs " + name, value); } catch { /* not kept, then */ }
  drawView();
}
function drawView() {
  $("zone").textContent = view.zone === "utc" ? "UTC" : `Local (${zoneName()})`;
  $("zone").title = `Times in ${view.zone === "utc" ? "UTC" : "this browser's zone"}; a click changes it (U)`;
  for (const radio of document.querySelectorAll("input[name=time]")) radio.checked = radio.value === view.time;
  drawHead();
  if (!$("detail").hidden) drawDetail();
  densityStale = true;
  drawDensity();
  draw();
}
$("zone").onclick = () => setView("zone", view.zone === "utc" ? "local" : "utc");
for (const radio of document.querySelectorAll("input[name=time]")) radio.onchange = () => setView("time", radio.value);
try {
  if (localStorage.getItem("logs zone") === "utc") view.zone = "utc";
  if (localStorage.getItem("logs time") === "server") view.time = "server";
} catch { /* not allowed here */ }

/* ---------------------------------------------------------------- the address: what is shown, so that a link and Back give it again */

let editing = null; // the field whose typing makes one step of the history
function addressNow() {
  const next = new URLSearchParams(location.search), on = LEVELS.filter((_, i) => levelsOn[i]);
  for (const name of ["roomId", "level", "levels", "user", "nouser", "in", "notin", "cols", "room", "show", "hide", "q"]) next.delete(name);
  for (const [name, value] of [["room", $("room").value.trim()], ["levels", on.length === LEVELS.length ? "" : on.join(",") || "none"], ["show", $("include").value],
    ["hide", $("exclude").value], ["q", $("search").value], ["cols", columns.join(",")]])
    if (value) next.set(name, value);
  for (const [name, set] of [["user", users.only], ["nouser", users.hidden], ["in", rooms.only], ["notin", rooms.hidden]]) for (const value of set) next.append(name, value);
  return location.pathname + (String(next) && "?" + next) + location.hash;
}
function remember(field = null) {
  const next = addressNow();
  if (next === location.pathname + location.search + location.hash) return;
  if (field && field === editing) history.replaceState(null, "", next); else history.pushState(null, "", next);
  editing = field;
}
function levelsFrom(query) {
  const named = query.get("levels"), least = LEVELS.indexOf(query.get("level"));
  LEVELS.forEach((level, i) => { levelsOn[i] = named !== null ? named.split(",").includes(level) : i >= least; });
}
/* Shows what the address says; the room is for the caller. */
function readAddress() {
  const query = new URLSearchParams(location.search), given = query.get("room") ?? query.get("roomId") ?? "";
  $("room").value = given === "undefined" ? "" : given;
  levelsFrom(query);
  $("include").value = query.get("show") ?? "";
  $("exclude").value = query.get("hide") ?? "";
  $("search").value = query.get("q") ?? "";
  users.set(query.getAll("user"), query.getAll("nouser"));
  rooms.set(query.getAll("in"), query.getAll("notin"));
  columns = (query.get("cols") ?? "").split(",").filter(Boolean).slice(0, 8);
  for (const name of ["include", "exclude", "search"]) patterns[name] = patternOf($(name));
  editing = null;
}
addEventListener("popstate", () => {
  const room = $("room").value.trim();
  readAddress();
  remakeRows();
  drawMenus();
  if ($("room").value.trim() !== room) setRoom(); else wantLine();
});
