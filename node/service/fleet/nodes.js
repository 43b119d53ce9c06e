/* Nodes, sinks, the stores behind them; the elements that all of the page is made of. */
const POINTS = 60;            // of a plot: an hour, a minute each; in a node's first minute, two minutes of news
const LOST_MS = 3600 * 1000;  // how long a node that was lost stays in sight
const DRAW_MS = 400;          // between two looks, however many nodes speak
const ROWS = 8, MORE_ROWS = 100; // of a list: at first, and with each "show more"
const SERVICES = ["sync", "chat", "minigame", "relay", "tracker", "dispatch", "logs", "sink"];
// A session that spans nodes is counted by each; by its first node only once.
const ONLY_LOCAL = new Set(["muster_sync_sessions"]);
const OF_ALL = new Set(["muster_logs_stream_entries", "muster_logs_unstored_entries"]); // the same on every node
const RENAMED = { muster_sync_sessions_first: "sessions" };
const nodes = new Map();      // name -> {value, before, lists, history, card, gone (ms), stale}
const early = new Map();      // name -> lists of a node that has not yet told its figures
let drawing = false, drawn = 0, listsStale = true;

/* What a figure is, and when to worry. */
const HELP = {
  "up": ["How long this process has been running.", "Often small: it is killed and started again."],
  "memory": ["Resident memory of the process.", "It grows for hours while connections do not; or comes near memory-limit."],
  "CPU": ["Of one core: a node is one loop on one core.", "Over 80 % for long: add nodes or workers."],
  "bus lag": ["How long a message of a node to itself takes over Redis.", "Over 50 ms: Redis or the network is busy; over seconds: the link is torn down and built again."],
  "sent/s": ["Messages that went out to clients, each receiver counted.", "It falls to nothing while messages come in."],
  "version": ["The release that this node runs.", "Nodes of two releases for longer than an update takes."],
  "zone": ["Where it runs, as its setting zone says.", "All nodes in one: they go together."],
  "at": ["Address and port on which it serves HTTP.", "Two nodes of one address."],
  "asks/s": ["Commands a second that all nodes send to Redis.", "It grows without more clients."],
  "round trip": ["Mean time for Redis to answer a command, as the nodes see it; the slowest of them.", "Over 10 ms: Redis is busy (SLOWLOG GET), swaps, or is far away."],
  "bus": ["Time of a message over Redis' pub/sub, the slowest node's.", "Over 50 ms."],
  "errors/s": ["Commands that failed, or were lost with their link.", "Anything but 0 for long."],
  "links built again": ["Links to Redis that were lost and built again, all nodes together.", "It grows while nobody works on Redis."],
  "link": ["Nodes whose link to Redis has proved itself lately, of all.", "Not all of them."],
  "rows/s": ["Log entries that all sinks store in PostgreSQL.", "0 while entries wait."],
  "entries waiting": ["Log entries in the stream that are not in PostgreSQL yet.", "It grows: PostgreSQL is slower than what comes, or away. At logs-bound new entries are refused."],
  "oldest waits": ["Age of the oldest log entry that is not stored yet.", "Over a minute."],
  "refused": ["Transactions that PostgreSQL refused, since the sinks' start.", "It grows: see the sink's log lines."],
  "lost": ["Sessions with PostgreSQL lost while a transaction was under way.", "It grows."],
  "sinks with a session": ["Sinks that have a session with PostgreSQL now, of all.", "Not all of them."],
  "lanes": ["Lanes of the log stream that this sink stores.", "0 on the only sink."],
  "entries": ["Log entries of its lanes that wait.", "It grows."],
  "lag": ["Age of the oldest of them.", "Over a minute."],
};

const number = n => n >= 1e6 ? (n / 1e6).toFixed(1) + " M" : n >= 1e4 ? (n / 1e3).toFixed(1) + " k"
  : n >= 100 || Number.isInteger(n) ? String(Math.round(n)) : n.toFixed(1);
const bytes = n => n >= 2 ** 30 ? (n / 2 ** 30).toFixed(1) + " GiB" : n >= 2 ** 20 ? (n / 2 ** 20).toFixed(1) + " MiB"
  : (n / 1024).toFixed(0) + " KiB";
const counted = (n, one, several = one + "s") => `${number(n)} ${n === 1 ? one : several}`;
function duration(s) {
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min` : `${Math.floor(s)} s`;
}
const pad = n => String(n).padStart(2, "0");
/* 02:51, of another day with its date. */
function clock(ms, seconds = false) {
  const d = new Date(ms), now = new Date(), hour = `${pad(d.getHours())}:${pad(d.getMinutes())}${seconds ? ":" + pad(d.getSeconds()) : ""}`;
  return d.toDateString() === now.toDateString() ? hour : `${d.getFullYear()}-${pad(d.getMonth() + 1)}-${pad(d.getDate())} ${hour}`;
}
const order_of = new Intl.Collator("en", { numeric: true }).compare; // node-2 before node-10
const add = (values, of) => values.reduce((all, value) => all + of(value), 0);
const most = (values, of) => values.reduce((all, value) => Math.max(all, of(value)), 0);

const figure = (node, name) => node.value.figures?.[name] ?? 0;
/* Growth of a counter per second between the last two values. */
function rate(node, name) {
  const was = node.before;
  if (!was || node.value.time <= was.time) return 0;
  const grown = figure(node, name) - (was.figures[name] ?? 0);
  return Math.max(0, grown) * 1000 / (node.value.time - was.time);
}
function mean_ms(node, name) {
  const count = rate(node, name + "_count");
  return count > 0 ? rate(node, name + "_sum") / count * 1000 : 0;
}
const figures_of = node => ({
  connections: figure(node, "muster_connections"),
  messages: rate(node, "muster_websocket_messages_received_total"),
  deliveries: rate(node, "muster_deliveries_total"),
  memory: figure(node, "process_resident_memory_bytes"),
  lag: mean_ms(node, "muster_bus_lag_seconds"),
  cpu: rate(node, "muster_cpu_milliseconds_total") / 10,
});
const is_sink = node => node.value.kind === "sink";

/* ---------------------------------------------------------------- elements: text only, never markup */

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}
function set(place, text) {
  if (place.textContent !== text) place.textContent = text;
}
/* The children of `place`, one for each key, in order; made once, moved only where they must, and not while one
 * reads there: then what is new comes at the end. */
function arrange(place, keys, make) {
  place.made ??= new Map();
  const wanted = new Set(keys);
  for (const [key, child] of place.made) {
    if (!wanted.has(key)) { child.remove(); place.made.delete(key); }
  }
  const reading = place.matches(":hover, :focus-within");
  const order = reading ? [...place.made.keys(), ...keys.filter(key => !place.made.has(key))] : keys;
  order.forEach((key, i) => {
    let child = place.made.get(key);
    if (!child) place.made.set(key, child = make(key));
    if (place.children[i] !== child) place.insertBefore(child, place.children[i] ?? null);
  });
  if (!reading) place.made = new Map(keys.map(key => [key, place.made.get(key)]));
  return keys.map(key => place.made.get(key));
}
function explain(name) {
  set($("explain-title"), name);
  set($("explain-what"), HELP[name][0]);
  set($("explain-worry"), "Worry when: " + HELP[name][1]);
  $("explain").showModal();
}
function term(name) {
  if (!HELP[name]) return element("dt", { textContent: name });
  return element("dt", {}, element("button", { type: "button", textContent: name, title: `${HELP[name][0]} Worry when: ${HELP[name][1]}`, onclick: () => explain(name) }));
}
function fill(list, rows) {
  const keys = rows.flatMap(([name]) => [name, "=" + name]);
  if (list.keys !== keys.join("\n")) {
    list.keys = keys.join("\n");
    list.replaceChildren(...rows.flatMap(([name]) => [term(name), element("dd")]));
  }
  rows.forEach(([, value], i) => set(list.children[2 * i + 1], value));
}
function fill_tiles(place, entries) {
  arrange(place, entries.map(([name]) => name), name => {
    const target = entries.find(entry => entry[0] === name)[2];
    return element(target ? "a" : "div", { className: "tile", ...(target && { href: "#" + target }) }, element("b"), element("span"));
  }).forEach((tile, i) => { set(tile.children[0], entries[i][1]); set(tile.children[1], entries[i][3] ?? entries[i][0]); });
}

/* ---------------------------------------------------------------- nodes and sinks */

function make_card(name, sink) {
  const card = element("article", { className: "node" });
  const state = element("span", { className: "state" });
  const list = element("dl");
  const plots = element("div", { className: "plots" });
  for (const [key, title] of sink ? [] : [["messages", "messages/s"], ["connections", "connections"]]) {
    const canvas = element("canvas", { title: title + ", the last hour" });
    canvas.setAttribute("role", "img");
    const caption = element("span");
    plots.append(element("figure", {}, element("figcaption", {}, title, caption), canvas));
    card[key] = { canvas, caption };
  }
  const own = new URLSearchParams({ user: "server", cols: "node", show: name });
  card.append(element("h3", {}, element("span", { textContent: name }), state), plots, list,
    element("p", { className: "foot" }, element("a", { className: "to-logs", href: "logs.html?" + own, textContent: "its log lines" })));
  Object.assign(card, { state, list });
  return card;
}
function plot(canvas, points) {
  const scale = devicePixelRatio || 1;
  const width = Math.round(canvas.clientWidth * scale), height = Math.round(canvas.clientHeight * scale);
  if (width === 0) return;
  if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
  const paint = canvas.getContext("2d"), top = Math.max(1, ...points);
  paint.clearRect(0, 0, width, height);
  paint.strokeStyle = getComputedStyle(canvas).getPropertyValue("--accent");
  paint.lineWidth = 1.5 * scale;
  paint.beginPath();
  points.forEach((point, i) => paint.lineTo((i + POINTS - points.length) / (POINTS - 1) * width,
    height - 2 * scale - point / top * (height - 4 * scale)));
  paint.stroke();
}
/* The last hour as the node has kept it, and now; of a young node what this page has seen. */
function points_of(node, key) {
  const kept = node.lists?.hour?.[key] ?? [];
  return kept.length > 1 ? [...kept, figures_of(node)[key]].slice(-POINTS) : node.history[key];
}
/* The address stands where its column is as wide as it is. */
const zone_row = node => node.value.zone ? [["zone", node.value.zone]] : [];
const sink_rows = node => [["up", duration(node.value.time / 1000 - node.value.started)], ["memory", bytes(figures_of(node).memory)],
  ["lanes", number(figure(node, "muster_sink_lanes"))], ["rows/s", number(rate(node, "muster_sink_rows_total"))],
  ["entries", number(figure(node, "muster_sink_lag_entries"))], ["lag", (figure(node, "muster_sink_lag_milliseconds") / 1000).toFixed(1) + " s"],
  ["version", node.value.version], ["at", node.value.http ?? ""], ...zone_row(node)];
const node_rows = node => [["up", duration(node.value.time / 1000 - node.value.started)], ["memory", bytes(figures_of(node).memory)],
  ["CPU", number(figures_of(node).cpu) + " %"], ["bus lag", figures_of(node).lag.toFixed(figures_of(node).lag < 100 ? 2 : 0) + " ms"],
  ["version", node.value.version], ["at", node.value.http ?? ""], ["sent/s", number(figures_of(node).deliveries)], ...zone_row(node)];
function write_node(node) {
  const { card, value } = node, now = figures_of(node), state = value.state;
  const ill = !node.gone && state !== "well" && state !== "draining" && state !== "starting";
  card.classList.toggle("lost", Boolean(node.gone));
  card.classList.toggle("ill", ill);
  set(card.state, node.gone ? `gone since ${clock(node.gone)}` : state);
  card.state.className = "state" + (node.gone || ill ? " bad" : state === "draining" ? " draining" : "");
  for (const key of ["messages", "connections"]) {
    if (!card[key]) continue;
    set(card[key].caption, number(now[key]));
    card[key].canvas.ariaLabel = `${key}, the last hour; now ${number(now[key])}`;
  }
  fill(card.list, is_sink(node) ? sink_rows(node) : node_rows(node));
}
function draw_nodes(all) {
  const order = $("order").value, rank = node => order === "name" ? 0 : -figures_of(node)[order];
  const ranks = new Map(all.map(node => [node, rank(node)]));
  all.sort((a, b) => Boolean(b.gone) - Boolean(a.gone) || ranks.get(a) - ranks.get(b) || order_of(a.value.name, b.value.name));
  for (const [place, some] of [[$("nodes"), all.filter(node => !is_sink(node))], [$("sinks"), all.filter(is_sink)]])
    arrange(place, some.map(node => node.value.name), name => nodes.get(name).card);
  const stale = all.filter(node => node.stale);
  stale.forEach(write_node);
  if ($("part-nodes").open) {
    stale.filter(node => node.card.messages).forEach(node => ["messages", "connections"].forEach(key => plot(node.card[key].canvas, points_of(node, key))));
  }
  stale.forEach(node => { node.stale = false; });
}
function draw_totals(living) {
  const sum = key => add(living, node => figures_of(node)[key]), sinks = living.filter(is_sink).length;
  fill_tiles($("totals"), [["nodes", number(living.length - sinks), "part-nodes", living.length - sinks === 1 ? "node" : "nodes"],
    ["sinks", number(sinks), "part-stores", sinks === 1 ? "sink" : "sinks"], ["connections", number(sum("connections"))],
    ["messages/s", number(sum("messages"))], ["deliveries/s", number(sum("deliveries"))],
    ["memory", bytes(sum("memory"))], ["slowest bus", most(living, node => figures_of(node).lag).toFixed(2) + " ms"]]);
}

/* ---------------------------------------------------------------- Redis and PostgreSQL, as the nodes see them */

function draw_stores(living) {
  const sinks = living.filter(is_sink), up = living.filter(node => figure(node, "muster_store_up") > 0).length;
  const connected = sinks.filter(node => figure(node, "muster_sink_postgres_up") > 0).length;
  const away = store_away || up < living.length;
  const cards = [["Redis", away ? "away" : living.length === 0 ? "not known yet" : "well", [
    ["link", `${up} of ${living.length}`], ["round trip", most(living, node => mean_ms(node, "muster_store_command_seconds")).toFixed(2) + " ms"],
    ["bus", most(living, node => figures_of(node).lag).toFixed(2) + " ms"], ["asks/s", number(add(living, node => rate(node, "muster_store_commands_total")))],
    ["errors/s", number(add(living, node => rate(node, "muster_store_errors_total")))], ["links built again", number(add(living, node => figure(node, "muster_store_reconnects_total")))]]]];
  if (sinks.length > 0) cards.push(["PostgreSQL", connected === sinks.length ? "well" : "away", [
    ["sinks with a session", `${connected} of ${sinks.length}`], ["rows/s", number(add(sinks, node => rate(node, "muster_sink_rows_total")))],
    ["entries waiting", number(add(sinks, node => figure(node, "muster_sink_lag_entries")))],
    ["oldest waits", (most(sinks, node => figure(node, "muster_sink_lag_milliseconds")) / 1000).toFixed(1) + " s"],
    ["refused", number(add(sinks, node => figure(node, "muster_sink_errors_total")))], ["lost", number(add(sinks, node => figure(node, "muster_sink_lost_total")))]]]);
  arrange($("stores"), cards.map(([name]) => name), name => element("article", { className: "store" },
    element("h3", {}, element("span", { textContent: name }), element("span", { className: "state" })), element("dl"))).forEach((card, i) => {
    const [, state, rows] = cards[i], word = card.querySelector(".state");
    set(word, state);
    word.className = "state" + (state === "away" ? " bad" : "");
    card.classList.toggle("ill", state === "away");
    fill(card.querySelector("dl"), rows);
  });
}
