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

/* What a figure is, when to worry, and where docs/figures.md says more. */
const WIDE = new Set(["at", "zone"]); // have a row of their own on a node's card
const HELP = {
  "up": ["How long this process has been running.", "Often small: it is killed and started again.", "up"],
  "memory": ["Resident memory of the process.", "It grows for hours while connections do not; or comes near memory-limit.", "memory"],
  "CPU": ["Of one core: a node is one loop on one core.", "Over 80 % for long: add nodes or workers.", "cpu"],
  "bus lag": ["How long a message of a node to itself takes over Redis.", "Over 50 ms: Redis or the network is busy; over seconds: the link is torn down and built again.", "bus"],
  "sent/s": ["Messages that went out to clients, each receiver counted.", "It falls to nothing while messages come in.", "messages"],
  "version": ["The release that this node runs.", "Nodes of two releases for longer than an update takes.", "version"],
  "zone": ["Where it runs, as its setting zone says.", "All nodes in one: they go together.", "zone-and-address"],
  "at": ["Address and port on which it serves HTTP.", "Two nodes of one address.", "zone-and-address"],
  "asks/s": ["Commands a second that all nodes send to Redis.", "It grows without more clients.", "its-answer"],
  "round trip": ["Mean time for Redis to answer a command, as the nodes see it; the slowest of them.", "Over 10 ms: Redis is busy (SLOWLOG GET), swaps, or is far away.", "links"],
  "bus": ["Time of a message over Redis' pub/sub, the slowest node's.", "Over 50 ms.", "bus"],
  "errors/s": ["Commands that failed, or were lost with their link.", "Anything but 0 for long.", "links"],
  "links built again": ["Links to Redis that were lost and built again, all nodes together.", "It grows while nobody works on Redis.", "links"],
  "link": ["Nodes whose link to Redis has proved itself lately, of all.", "Not all of them.", "links"],
  "rows/s": ["Log entries that all sinks store in PostgreSQL.", "0 while entries wait.", "postgresql"],
  "entries waiting": ["Log entries in the stream that are not in PostgreSQL yet.", "It grows: PostgreSQL is slower than what comes, or away. At logs-bound new entries are refused.", "log-stream"],
  "oldest waits": ["Age of the oldest log entry that is not stored yet.", "Over a minute.", "log-stream"],
  "refused": ["Transactions that PostgreSQL refused, since the sinks' start.", "It grows: see the sink's log lines.", "postgresql"],
  "lost": ["Sessions with PostgreSQL lost while a transaction was under way.", "It grows.", "postgresql"],
  "sinks with a session": ["Sinks that have a session with PostgreSQL now, of all.", "Not all of them.", "postgresql"],
  "lanes": ["Lanes of the log stream that this sink stores.", "0 on the only sink.", "postgresql"],
  "kept in": ["Without Redis a node is alone, and what it knows ends with it.", "There should be others.", "store"],
  "server": ["Where the links lead to now: host and port.", "It is not where you expect the primary to be.", "store"],
  "role": ["What the server says of itself.", "It is no master, or no primary: nothing can be written there.", "store"],
  "answers in": ["Time for it to answer INFO, asked by one node every six seconds.", "Over 50 ms: it is busy (SLOWLOG GET), swaps, or is far away.", "its-answer"],
  "of its memory": ["What its data take, of maxmemory.", "Over 80 %: it will refuse writes. Raise maxmemory, look at logs-bound. Without maxmemory the machine is the limit, and the system kills it.", "its-memory"],
  "commands/s": ["Commands that it carries out a second, for all its clients.", "It grows without more clients; Redis has one core for them.", "its-answer"],
  "clients": ["Its connections: two or three for each node and sink.", "It grows and grows; maxclients.", "store"],
  "replicas": ["How many follow it, when each was last heard of, and by how many bytes it is behind.", "There are none: its loss loses the last writes. Or they lag by seconds.", "replicas"],
  "running for": ["Since its last start.", "Short: who restarted it?", "store"],
  "evicted": ["Keys that it dropped for want of memory.", "Not 0: maxmemory-policy must be noeviction.", "its-memory"],
  "last error": ["The last thing that a sink complained of, with its time; the sinks' logs have all.", "It is of now.", "postgresql"],
  "nodes": ["Nodes that the fleet's roster has now; sinks are counted beside them.", "Fewer than you run.", "nodes-and-sinks"],
  "sinks": ["Processes that move the log stream into PostgreSQL.", "None, while the stream fills.", "nodes-and-sinks"],
  "connections": ["Open connections of clients: WebSockets, HTTP, TCP.", "It drops at once: a network, a balancer; or nears connection-limit.", "messages"],
  "messages/s": ["WebSocket messages that came in a second, the last hour beside it.", "It falls to nothing while connections stay.", "messages"],
  "deliveries/s": ["Messages that went out a second, each receiver counted.", "It falls to nothing while messages come in.", "messages"],
  "slowest bus": ["The longest of all nodes' times for a message over Redis.", "Over 50 ms: Redis or the network is busy.", "bus"],
  "sessions": ["Sync sessions that have a member now, each counted once.", "It does not fit what your players do.", "sessions"],
  "members": ["Clients in sync sessions; of a session, on all nodes.", "It does not fit what your players do.", "sessions"],
  "chat users": ["Users logged in to the chat.", "It drops at once: logins fail, see the log.", "chat"],
  "relay servers": ["Game servers connected to the relay.", "One that should be there is missing in the list.", "relay"],
  "players": ["As the game server said when it came.", "It is the server's own word.", "relay"],
  "tracker peers": ["Peers that the tracker has answered lately; an estimate, within 2 %.", "It falls to nothing: UDP does not reach the nodes.", "tracker"],
  "device ports": ["Ports that drivers have opened for devices.", "One that cannot be opened stands first in the list, red.", "device-ports"],
  "devices": ["Devices connected over TCP.", "They are gone while their port is open.", "device-ports"],
  "log stream": ["Log entries that Redis keeps, stored or not.", "It nears logs-bound.", "log-stream"],
  "sink lag": ["Age of the oldest log entry that is not in PostgreSQL, and how many there are.", "Over a minute.", "log-stream"],
  "entries": ["Log entries of its lanes that wait.", "It grows.", "log-stream"],
  "lag": ["Age of the oldest of them.", "Over a minute.", "log-stream"],
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
function explain(name, [what, worry, place]) {
  set($("explain-title"), name);
  set($("explain-what"), what);
  set($("explain-worry"), worry ? "Worry when: " + worry : "");
  $("explain-more").href = place ? "docs?page=figures#" + place : "docs?page=operate#watch-it";
  $("explain").showModal();
}
/* The name of a figure, with a word of help behind it where there is one. */
function helped(name, help = HELP[name]) {
  if (!help) return name;
  return element("button", { type: "button", textContent: name, title: `${help[0]} Worry when: ${help[1]}`, onclick: () => explain(name, help) });
}
const term = name => element("dt", {}, helped(name));
/* All counts are explained where they are defined: in the node's /metrics. */
async function explain_metric(name, metric) {
  const base = metric.replace(/\{.*/, "");
  try {
    const text = await (await fetch("metrics")).text(), line = text.split("\n").find(line => line.startsWith(`# HELP ${base} `));
    explain(name, [`${line ? line.slice(base.length + 8) : "It is not known here."} (${metric})`]);
  } catch { explain(name, [metric]); }
}
function fill(list, rows, name_of = i => term(rows[i][0])) {
  const keys = rows.flatMap(([name]) => [name, "=" + name]);
  if (list.keys !== keys.join("\n")) {
    list.keys = keys.join("\n");
    list.replaceChildren(...rows.flatMap((_, i) => [name_of(i), element("dd")]));
  }
  rows.forEach(([name, value], i) => {
    const cell = list.children[2 * i + 1];
    set(cell, value);
    cell.classList.toggle("long", WIDE.has(name) || value.length > 21);
  });
}
function fill_tiles(place, entries) {
  arrange(place, entries.map(([name]) => name), name => {
    const target = entries.find(entry => entry[0] === name)[2], value = element("b");
    return element("div", { className: "tile" }, target ? element("a", { href: "#" + target }, value) : value, element("span", {}, helped(name)));
  }).forEach((tile, i) => { set(tile.querySelector("b"), entries[i][1]); set(tile.querySelector("button") ?? tile.lastChild, entries[i][3] ?? entries[i][0]); });
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
    plots.append(element("figure", {}, element("figcaption", {}, helped(title), caption), canvas));
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
const zone_row = node => node.value.zone ? [["zone", node.value.zone]] : [];
const sink_rows = node => [["up", duration(node.value.time / 1000 - node.value.started)], ["memory", bytes(figures_of(node).memory)],
  ["lanes", number(figure(node, "muster_sink_lanes"))], ["rows/s", number(rate(node, "muster_sink_rows_total"))],
  ["entries", number(figure(node, "muster_sink_lag_entries"))], ["lag", (figure(node, "muster_sink_lag_milliseconds") / 1000).toFixed(1) + " s"],
  ["version", node.value.version], ["at", node.value.http ?? ""], ...zone_row(node)];
const node_rows = node => [["up", duration(node.value.time / 1000 - node.value.started)], ["memory", bytes(figures_of(node).memory)],
  ["CPU", number(figures_of(node).cpu) + " %"], ["bus lag", figures_of(node).lag.toFixed(figures_of(node).lag < 100 ? 2 : 0) + " ms"],
  ["sent/s", number(figures_of(node).deliveries)], ["version", node.value.version], ["at", node.value.http ?? ""], ...zone_row(node)];
function write_node(node) {
  const { card, value } = node, now = figures_of(node), state = value.state.split("\n")[0];
  const old = !node.gone && (store_away || !alive), ill = !node.gone && !old && state !== "well" && state !== "draining" && state !== "starting";
  card.classList.toggle("lost", Boolean(node.gone));
  card.classList.toggle("ill", ill);
  set(card.state, node.gone ? `gone since ${clock(node.gone)}` : old ? `not known since ${clock(last_news, true)}` : state);
  card.state.className = "state" + (node.gone || ill ? " bad" : old ? " old" : state === "draining" ? " draining" : "");
  for (const key of ["messages", "connections"]) {
    if (!card[key]) continue;
    set(card[key].caption, number(now[key]));
    card[key].canvas.ariaLabel = `${key}, the last hour; now ${number(now[key])}`;
  }
  fill(card.list, is_sink(node) ? sink_rows(node) : node_rows(node));
}
function draw_nodes(all) {
  if (draw_nodes.old !== Boolean(store_away || !alive)) all.forEach(node => { node.stale = true; });
  draw_nodes.old = Boolean(store_away || !alive);
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

/* ---------------------------------------------------------------- Redis and PostgreSQL */

let servers = []; // of the store, as one node has asked them
const lag_of = ({ at, state, lag, behind }) => state && state !== "online" ? `${at} ${state}` : `${at} ${lag ?? "?"} s, ${bytes(behind)}`;
function replicas_of(row) {
  if (!row.replicas) return "none";
  return `${row.replicas}, behind: ${row.followers.map(lag_of).join("; ")}${row.replicas > row.followers.length ? "; …" : ""}`;
}
function memory_of(row) {
  return bytes(row.used) + (row.most ? ` of ${bytes(row.most)} (${(100 * row.used / row.most).toFixed(0)} %)` : ", no maxmemory");
}
function server_card(row, living) {
  if (row.kind === "memory") return ["Store", "well", [["kept in", "the memory of this process"]]];
  const away = add(living, node => (node.value.away ?? []).includes(row.name)), known = row.role !== undefined;
  const rows = [["server", (row.at ?? row.name).replace(" ", ":")], ...known ? [["role", row.role], ["version", row.version]] : [], ["answers in", row.ms === undefined ? "not asked yet" : `${row.ms} ms`],
    ...known ? [["of its memory", memory_of(row)], ["commands/s", number(row.commands)], ["clients", number(row.clients)], ["replicas", replicas_of(row)],
      ["running for", duration(row.up)], ...row.evicted ? [["evicted", number(row.evicted)]] : []] : row.ms === undefined ? [] : [["more", "it may not be asked (INFO)"]]];
  return [`${row.kind ?? "Redis"} ${row.name}`, store_away || away ? "away" : "well", rows];
}
/* As the nodes see them, all links together. */
function links_card(living) {
  const up = add(living, node => figure(node, "muster_store_up") > 0), away = store_away || up < living.length;
  return ["Links to the store", away ? "away" : living.length === 0 ? "not known yet" : "well", [
    ["link", `${up} of ${living.length}`], ["round trip", most(living, node => mean_ms(node, "muster_store_command_seconds")).toFixed(2) + " ms"],
    ["bus", most(living, node => figures_of(node).lag).toFixed(2) + " ms"], ["asks/s", number(add(living, node => rate(node, "muster_store_commands_total")))],
    ["errors/s", number(add(living, node => rate(node, "muster_store_errors_total")))], ["links built again", number(add(living, node => figure(node, "muster_store_reconnects_total")))]]];
}
function postgres_card(sinks) {
  const connected = sinks.filter(node => figure(node, "muster_sink_postgres_up") > 0).length, told = sinks.map(node => node.value.postgres ?? {});
  const one = told.find(({ at }) => at), wrong = told.filter(({ error_at }) => error_at).sort((a, b) => b.error_at - a.error_at)[0];
  return ["PostgreSQL", store_away || !alive ? "not known" : connected === sinks.length ? "well" : "away", [
    ...one ? [["server", one.at], ["role", one.role], ["version", one.version.split(" ")[0]]] : [],
    ["sinks with a session", `${connected} of ${sinks.length}`], ["rows/s", number(add(sinks, node => rate(node, "muster_sink_rows_total")))],
    ["entries waiting", number(add(sinks, node => figure(node, "muster_sink_lag_entries")))],
    ["oldest waits", (most(sinks, node => figure(node, "muster_sink_lag_milliseconds")) / 1000).toFixed(1) + " s"],
    ["refused", number(add(sinks, node => figure(node, "muster_sink_errors_total")))], ["lost", number(add(sinks, node => figure(node, "muster_sink_lost_total")))],
    ["last error", wrong ? `${clock(wrong.error_at, true)} ${wrong.error}` : "none"]]];
}
function draw_stores(living) {
  const sinks = living.filter(is_sink), cards = [...servers.map(row => server_card(row, living)), links_card(living), ...sinks.length > 0 ? [postgres_card(sinks)] : []];
  arrange($("stores"), cards.map(([name]) => name), () => element("article", { className: "store" },
    element("h3", {}, element("span"), element("span", { className: "state" })), element("dl"))).forEach((card, i) => {
    const [name, state, rows] = cards[i], word = card.querySelector(".state");
    set(card.querySelector("span"), name);
    set(word, state);
    word.className = "state" + (state === "away" ? " bad" : state === "well" ? "" : " old");
    card.classList.toggle("ill", state === "away");
    fill(card.querySelector("dl"), rows);
  });
}
