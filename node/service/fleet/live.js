/* News: figures, lists, events, problems; the verdict out of them; drawing now and then. */
let events = [], problems = [], store_away = 0, last_news = 0, alive = false, all_events = false;
const EVENTS = 5; // at first

/* ---------------------------------------------------------------- the verdict */

/* The store is away for this page's node, or all nodes say so: one problem, and not one for each. */
function sentences() {
  const found = new Map(), alone = problems.filter(({ node }) => !node).map(({ text, since }) => `${text}, for ${duration((Date.now() - since) / 1000)}`);
  for (const { node, text, since } of problems.filter(({ node }) => node)) {
    const key = since ? `${node} ${text} ${clock(since)}` : text;
    found.set(key, [...(found.get(key) ?? []), node]);
  }
  return [...alone, ...[...found].map(([text, names]) => {
    if (problems.some(problem => problem.since && `${problem.node} ${problem.text} ${clock(problem.since)}` === text)) return text;
    return names.length > 3 ? `${names.length} nodes: ${text}` : `${names.join(", ")}: ${text}`;
  })];
}
function judge() {
  if (!last_news && !(alive && store_away)) return ["", "…", ""];
  if (!alive) return ["bad", "This page's node does not answer", `The figures are of ${clock(last_news, true)}; it is tried again.`];
  if (store_away) return ["bad", `Redis cannot be reached, for ${duration((Date.now() - store_away) / 1000)}`, `${last_news ? `The figures are of ${clock(store_away, true)}.` : "There are no figures yet."} Clients stay connected; what needs the others waits or is refused.`];
  const words = sentences();
  if (words.length === 0) return ["well", "All is well", ""];
  return ["bad", `${counted(words.length, "problem")}: ${words.slice(0, 4).join("; ")}${words.length > 4 ? "; …" : ""}`, ""];
}
function draw_verdict() {
  const [state, text, more] = judge(), colour = { well: "%231a7f37", bad: "%23c5221f" }[state] ?? "%23777";
  if ($("verdict").said === state + text + more) return;
  $("verdict").said = state + text + more;
  document.querySelector("main").classList.toggle("known", last_news > 0 || store_away > 0);
  $("verdict").className = state;
  $("verdict").replaceChildren(text, ...(more ? [element("small", { textContent: more })] : []));
  document.title = state === "well" ? "Muster" : state === "bad" ? `⚠ ${text} · Muster` : "Muster";
  $("icon").href = `data:image/svg+xml,<svg xmlns='http:\/\/www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='7' fill='${colour}'/>${state === "bad"
    ? "<path d='M8 3.5v5.5M8 11v2' stroke='%23fff' stroke-width='2'/>" : "<path d='M4.5 8.5l2.5 2.5 4.5-5.5' stroke='%23fff' stroke-width='2' fill='none'/>"}</svg>`;
}
function draw_clock() {
  set($("asof"), last_news ? `as of ${clock(last_news, true)}` : "");
  draw_verdict();
}

/* ---------------------------------------------------------------- what happened */

const BAD = new Set(["lost", "store lost", "failover", "limit", "port", "state"]), GOOD = new Set(["well", "store back", "came"]);
function draw_events() {
  const some = all_events ? events : events.slice(0, EVENTS);
  $("events").replaceChildren(...some.map(({ at, what, node, text }) => element("li", {},
    element("time", { textContent: clock(at, true), dateTime: new Date(at).toISOString() }),
    element("span", { className: BAD.has(what) ? "bad" : GOOD.has(what) ? "good" : "" }, ...(node ? [element("b", { textContent: node }), " "] : []), text))));
  if (some.length === 0) $("events").append(element("li", { textContent: "Nothing yet." }));
  set($("events-count"), `the last ${events.length}`);
  $("more-events").hidden = events.length <= EVENTS;
  set($("more-events"), all_events ? "show fewer" : `show all ${events.length}`);
}
$("more-events").onclick = () => { all_events = !all_events; draw_events(); };

/* ---------------------------------------------------------------- drawing */

function draw() {
  drawing = false;
  drawn = performance.now();
  for (const [name, node] of nodes) if (node.gone && Date.now() - node.gone > LOST_MS) forget(name);
  const all = [...nodes.values()], living = all.filter(node => !node.gone);
  draw_nodes(all);
  draw_totals(living);
  draw_stores(living);
  if (listsStale) { listsStale = false; draw_lists(living); }
  draw_services(living);
  draw_clock();
}
function redraw() {
  if (drawing) return;
  drawing = true;
  setTimeout(() => requestAnimationFrame(draw), Math.max(0, drawn + DRAW_MS - performance.now()));
}
function redraw_all() {
  nodes.forEach(node => { node.stale = true; });
  listsStale = true;
  redraw();
}
setInterval(draw_clock, 1000);

/* ---------------------------------------------------------------- news */

function take(value) {
  let node = nodes.get(value.name);
  if (node?.value.ghost) { forget(value.name); node = null; }
  if (!node) {
    node = { history: { messages: [], connections: [] }, card: make_card(value.name, value.kind === "sink"), lists: early.get(value.name) };
    early.delete(value.name);
    nodes.set(value.name, node);
  }
  if (node.value?.time !== value.time) { node.before = node.value; node.value = value; }
  if (value.lists) node.lists = value.lists;
  node.gone = 0;
  node.stale = listsStale = true;
  const now = figures_of(node);
  for (const key of ["messages", "connections"]) {
    node.history[key].push(now[key]);
    if (node.history[key].length > POINTS) node.history[key].shift();
  }
}
function take_lists(name, lists) {
  const node = nodes.get(name);
  if (node) { node.lists = lists; node.stale = true; } else early.set(name, lists);
  listsStale = true;
}
function forget(name) {
  const node = nodes.get(name);
  nodes.delete(name);
  node.card.remove();
  $("nodes").made?.delete(name);
  $("sinks").made?.delete(name);
}
/* One that left in order goes; one that was lost stays, red. */
function lose(name) {
  const node = nodes.get(name);
  early.delete(name);
  if (!node || node.gone) return;
  const left = events.some(event => event.what === "left" && event.node === name && event.at >= node.value.started * 1000);
  listsStale = true;
  if (left) { forget(name); return; }
  node.gone = Date.now();
  node.stale = true;
}
/* Those that were lost before this page was opened. */
function take_problems(list) {
  problems = list;
  for (const { node: name, text, since } of list) {
    if (text !== "lost" || nodes.get(name)) continue;
    nodes.set(name, { value: { name, kind: "node", figures: {}, state: "lost", time: since, started: since / 1000, version: "?", ghost: true },
      history: { messages: [], connections: [] }, card: make_card(name, false), gone: since, stale: true });
  }
}
/* When another node asks from now on, both may have told. */
function take_servers(told) {
  for (const one of told) if (one.time >= (take_servers.time ?? 0)) { take_servers.time = one.time; servers = one.servers; }
}
function take_all(message) {
  const names = new Set(message.nodes.map(value => value.name));
  events = (message.events ?? []).sort((a, b) => b.at - a.at);
  message.nodes.forEach(take);
  [...nodes.keys()].filter(name => !names.has(name)).forEach(lose);
  take_problems(message.problems ?? []);
  take_servers(message.servers ?? []);
  draw_events();
}

function say(text, bad = false) {
  set($("link"), text);
  $("link").className = bad ? "bad" : "";
}
let wait = 500;
function turned_away() {
  alive = false;
  say("a token is wanted", true);
  $("give-token").hidden = false;
  $("verdict").className = "";
  $("verdict").textContent = "This page shows nothing without a token.";
  askForToken("status-token", connect);
}
$("give-token").onclick = turned_away;
function connect() {
  const url = new URL("api/status/live", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  url.hash = "";
  url.search = "";
  $("give-token").hidden = true;
  const socket = openSocket(url);
  socket.onmessage = event => {
    const message = JSON.parse(event.data);
    wait = 500;
    alive = true;
    if (message.stale) { store_away ||= last_news || Date.now(); say("the store cannot be reached: figures may be old", true); redraw(); return; }
    if (message.nodes || message.node || message.of) { store_away = 0; last_news = Date.now(); say("live"); }
    if (message.nodes) take_all(message);
    if (message.node) take(message.node);
    if (message.of !== undefined) take_lists(message.of, message.lists);
    if (message.servers && !message.nodes) take_servers(message.servers);
    if (message.gone) lose(message.gone);
    if (message.event && !events.some(event => JSON.stringify(event) === JSON.stringify(message.event))) { events = [message.event, ...events].sort((a, b) => b.at - a.at).slice(0, 100); draw_events(); }
    if (message.problems) take_problems(message.problems);
    redraw();
  };
  socket.onclose = event => {
    alive = false;
    if (event.code === WANTS_TOKEN) { turned_away(); return; }
    say("connection lost, trying again…", true);
    redraw();
    setTimeout(connect, wait + Math.random() * wait);
    wait = Math.min(wait * 2, 10000);
  };
}

/* What was folded stays folded, in this browser. */
function remember_folds() {
  const parts = [...document.querySelectorAll("details")];
  let folds = {};
  try { folds = JSON.parse(localStorage.getItem("muster folds")) ?? {}; } catch { /* not allowed here */ }
  for (const part of parts) {
    if (part.id in folds) part.open = folds[part.id];
    part.ontoggle = () => {
      folds[part.id] = part.open;
      try { localStorage.setItem("muster folds", JSON.stringify(folds)); } catch { /* not allowed here */ }
      redraw_all();
    };
  }
}
token.takeFromAddress();
startTheme();
LISTS.forEach(make_list);
remember_folds();
$("order").onchange = redraw_all;
addEventListener("resize", redraw_all);
addEventListener("theme", redraw_all);
addEventListener("hashchange", () => { const part = $(location.hash.slice(1)); if (part?.tagName === "DETAILS") part.open = true; });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw_all);
// With an admin address of its own this page stands there, and the log viewer where clients come in.
fetch("logs.html", { method: "HEAD" }).then(answer => {
  $("logs").hidden = answer.status === 404;
  document.body.classList.toggle("no-logs", answer.status === 404);
}).catch(() => {});
draw_events();
connect();
