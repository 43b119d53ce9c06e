/* ---------------------------------------------------------------- what the nodes carry
 * Each list: what stands beside its title, and its rows: {key, cells} or {key, group}. A cell is a text, or lines
 * of parts {text, soft, bad}. */

const sum = (living, name) => add(living, node => figure(node, name));
const rows_of = (living, list) => living.flatMap(node =>
  (node.lists?.[list]?.rows ?? []).map(row => ({ ...row, node: node.value.name })));
const unlisted = (living, list) => add(living, node => node.lists?.[list]?.more ?? 0);
const by_name = (a, b) => order_of(a.name, b.name) || order_of(a.node, b.node);

function sessions(living) {
  const rows = rows_of(living, "sessions").sort((a, b) => b.members - a.members || (a.id < b.id ? -1 : 1));
  const count = sum(living, "muster_sync_sessions_first");
  return { count, head: `${counted(count, "session")}, ${counted(sum(living, "muster_sync_members"), "member")}`,
    rows: rows.map(row => ({ key: row.node + "/" + row.id,
      cells: [row.id, number(row.members), row.leader ? "connected" : [[{ text: "none", soft: true }]], number(row.nodes)] })),
    more: unlisted(living, "sessions"), none: "No session has a member now." };
}

function relay(living) {
  const networks = new Map();
  for (const row of rows_of(living, "relay")) {
    const network = networks.get(row.name) ?? { addresses: new Set(), servers: [], more: 0 };
    networks.set(row.name, network);
    row.addresses?.forEach(address => network.addresses.add(address));
    network.servers.push(...(row.servers ?? []).map((server, at) => ({ ...server, node: row.node, at })));
    network.more += row.more ?? 0;
  }
  const rows = [...networks.keys()].sort(order_of).flatMap(name => {
    const { addresses, servers, more } = networks.get(name), where = [...addresses].sort();
    const players = servers.length && !more ? ", " + counted(add(servers, server => server.players), "player") : "";
    const at = where.length === 0 ? "" : where.length > 3 ? ` at ${where.slice(0, 3).join(", ")}, …` : ` at ${where.join(", ")}`;
    return [{ key: "network " + name, group: [[{ text: name }, { text: ` ${counted(servers.length + more, "server")}${players}${at}`, soft: true }]] },
      ...servers.sort(by_name).map(server => ({ key: `${name} ${server.node} ${server.at} ${server.name}`,
        cells: [server.name || "(no name)", number(server.players), [[{ text: server.node, soft: true }]]] }))];
  });
  const count = sum(living, "muster_relay_servers");
  return { count, head: `${counted(networks.size, "network")}, ${counted(count, "server")}`, rows,
    more: unlisted(living, "relay") + add([...networks.values()], network => network.more), none: "No node serves the relay." };
}

function ports(living) {
  const found = new Map();
  for (const row of rows_of(living, "ports")) {
    const name = `${row.proto} ${row.port}`, port = found.get(name) ?? { ...row, drivers: [], more: 0, devices: 0, on: [], shut: [] };
    found.set(name, port);
    port.drivers.push(...(row.drivers ?? []).map(address => ({ address, node: row.node })));
    port.more += row.more ?? 0;
    port.devices += row.devices ?? 0;
    if (row.devices > 0) port.on.push({ node: row.node, devices: row.devices });
    if (!row.open) port.shut.push(row.node);
  }
  const rows = [...found.values()].sort((a, b) => (b.shut.length > 0) - (a.shut.length > 0) || a.port - b.port || (a.proto < b.proto ? -1 : 1)).map(port => {
    const drivers = port.drivers.slice(0, 4).map(driver => [{ text: driver.address + " " }, { text: driver.node, soft: true }]);
    const others = port.more + port.drivers.length - drivers.length;
    if (others) drivers.push([{ text: `and ${number(others)} more`, soft: true }]);
    const devices = port.proto === "udp" ? [[{ text: "datagrams", soft: true }]] : [[{ text: number(port.devices) }]];
    if (port.on.length === 1) devices[0].push({ text: ` on ${port.on[0].node}`, soft: true });
    else for (const place of port.on.slice(0, 4)) devices.push([{ text: `${number(place.devices)} on ${place.node}`, soft: true }]);
    if (port.on.length > 4) devices.push([{ text: `and on ${counted(port.on.length - 4, "more node")}`, soft: true }]);
    if (port.shut.length) drivers.push([{ text: `cannot be opened on ${port.shut.slice(0, 4).join(", ")}${port.shut.length > 4 ? ", …" : ""}`, bad: true }]);
    return { key: `${port.proto} ${port.port}`,
      cells: [`${port.proto} ${port.port}`, drivers.length ? drivers : [[{ text: "none that is listed", soft: true }]], devices] };
  });
  const more = unlisted(living, "ports");
  return { count: rows.length + more, head: `${counted(rows.length + more, "port")}, ${counted(sum(living, "muster_dispatch_drivers"), "driver")}, `
    + counted(sum(living, "muster_dispatch_devices"), "device"), rows, more, none: "No driver has registered a port." };
}

function chat(living) {
  const rows = rows_of(living, "chat").map((row, at) => ({ ...row, at })).sort(by_name);
  const count = rows.length + unlisted(living, "chat");
  return { count, head: counted(count, "user") + " online",
    rows: rows.map(row => ({ key: `${row.node} ${row.name} ${row.at}`, cells: [row.name || "(no name)", [[{ text: row.node, soft: true }]]] })),
    more: unlisted(living, "chat"), none: count ? "None of them has said anything yet." : "Nobody is logged in to the chat." };
}

// [name, its title, how it is made, columns as [title, share of the width]]; those of numbers end with "#"
const LISTS = [
  ["sessions", "Busiest sessions", sessions, [["session", 34], ["members#", 22], ["leader", 26], ["nodes#", 18]]],
  ["relay", "Relay networks", relay, [["server", 45], ["players#", 18], ["node", 37]]],
  ["ports", "Device ports", ports, [["port", 20], ["drivers", 46], ["devices#", 34]]],
  ["chat", "Chat users", chat, [["who spoke", 50], ["node", 50]]],
];
const shown = new Map(LISTS.map(([name]) => [name, ROWS]));

function write_cell(cell, content) {
  const print = JSON.stringify(content);
  if (cell.print === print) return;
  cell.print = print;
  if (typeof content === "string") { cell.textContent = content; return; }
  cell.replaceChildren(...content.map(line => element("div", {}, ...line.map(part =>
    element(part.soft ? "small" : "span", { textContent: part.text, className: part.bad ? "bad" : "" })))));
}
function make_list([name, title, , columns]) {
  const head = element("span", { className: "count" }), body = element("tbody"), note = element("span");
  const button = element("button", { type: "button" }), fewer = element("button", { type: "button", textContent: "show fewer" });
  const titles = columns.map(([column]) => element("th", { scope: "col", className: column.endsWith("#") ? "number" : "" }, column.endsWith("#") ? helped(column.slice(0, -1)) : column));
  const table = element("table", {}, element("colgroup", {}, ...columns.map(([, share]) => element("col", { style: `width: ${share}%` }))),
    element("thead", {}, element("tr", {}, ...titles)), body);
  button.onclick = () => { shown.set(name, shown.get(name) + MORE_ROWS); listsStale = true; redraw(); };
  fewer.onclick = () => { shown.set(name, ROWS); listsStale = true; redraw(); };
  const box = element("details", { className: "list", id: name, open: true }, element("summary", {}, element("h2", { textContent: title }), head),
    table, element("p", { className: "more" }, note, button, fewer));
  Object.assign(box, { head, body, table, note, button, fewer });
  $("lists").append(box);
  return box;
}
function make_row(row, columns) {
  if (row.group) return element("tr", { className: "group" }, element("td", { colSpan: columns.length }));
  return element("tr", {}, ...columns.map(([column]) => element("td", { className: column.endsWith("#") ? "number" : "" })));
}
/* The first rows; of groups all heads, and of each as many rows. */
function visible(rows, limit) {
  const groups = rows.filter(row => row.group).length;
  if (groups === 0) return rows.slice(0, limit);
  const each = Math.max(2, Math.floor(limit / groups));
  let left = 0;
  return rows.filter(row => { left = row.group ? each + 1 : left; return left-- > 0; });
}
function draw_list(list, made) {
  const [name, , , columns] = list, box = $(name), rows = visible(made.rows, shown.get(name)), keyed = new Map();
  for (const row of rows) keyed.set(row.key, row);
  set(box.head, made.head);
  box.table.hidden = rows.length === 0;
  arrange(box.body, [...keyed.keys()], key => make_row(keyed.get(key), columns)).forEach((line, i) => {
    const row = [...keyed.values()][i];
    (row.group ? [row.group] : row.cells).forEach((content, at) => write_cell(line.children[at], content));
  });
  const hidden = made.rows.length - rows.length, left = hidden + made.more;
  set(box.note, rows.length === 0 ? made.none : left > 0 ? `and ${number(left)} more` : "");
  set(box.button, `show ${number(Math.min(hidden, MORE_ROWS))} more`);
  box.button.hidden = hidden === 0;
  box.fewer.hidden = shown.get(name) <= ROWS || visible(made.rows, ROWS).length === made.rows.length;
}
function sink_lag(living) {
  const sinks = living.filter(node => node.value.kind === "sink");
  if (sinks.length === 0) return ["sink lag", "no sink"];
  const ms = most(sinks, node => figure(node, "muster_sink_lag_milliseconds"));
  const left = Math.max(most(living, node => figure(node, "muster_logs_unstored_entries")), sum(sinks, "muster_sink_lag_entries"));
  return ["sink lag", ms >= 60000 ? duration(ms / 1000) : (ms / 1000).toFixed(1) + " s", "", left > 0 ? `sink lag · ${number(left)}` : "sink lag"];
}
function draw_lists(living) {
  const made = new Map(LISTS.map(list => [list[0], list[2](living)])), count = name => number(made.get(name).count);
  LISTS.forEach(list => draw_list(list, made.get(list[0])));
  fill_tiles($("carried"), [["sessions", count("sessions"), "sessions"], ["members", number(sum(living, "muster_sync_members")), "sessions"],
    ["chat users", count("chat"), "chat"], ["relay servers", count("relay"), "relay"],
    ["tracker peers", number(sum(living, "muster_tracker_peers"))], ["device ports", count("ports"), "ports"],
    ["devices", number(sum(living, "muster_dispatch_devices")), "ports"],
    ["log stream", number(most(living, node => figure(node, "muster_logs_stream_entries"))), "", "log stream"], sink_lag(living)]);
}

/* ---------------------------------------------------------------- all counts */

const is_of = (name, service) => name.startsWith(`muster_${service}_`);
const is_count = name => name.endsWith("_total") || name.includes("_total{");
const label = (name, service) => RENAMED[name] ?? name.slice(`muster_${service}_`.length).replace(/_total\b/, "/s").replaceAll("_", " ")
  .replace(/\{\w+="(\w+)"\}/, " $1").trim();
function value_of(living, name) {
  if (OF_ALL.has(name)) return most(living, node => figure(node, name));
  return add(living, node => is_count(name) ? rate(node, name) : figure(node, name));
}
function draw_services(living) {
  if (!$("part-services").open) return;
  const names = [...new Set(living.flatMap(node => Object.keys(node.value.figures ?? {})))];
  const mine = service => names.filter(name => is_of(name, service) && !/_(count|sum)$/.test(name) && !ONLY_LOCAL.has(name));
  const runs = service => mine(service).length > 0 && (service !== "sink" || living.some(node => node.value.kind === "sink"));
  arrange($("services"), SERVICES.filter(runs), service => element("article", { className: "service" },
    element("h3", { textContent: service }), element("dl"))).forEach((box, i) => {
    const service = SERVICES.filter(runs)[i];
    const all = mine(service).sort((a, b) => is_count(a) - is_count(b));
    fill(box.children[1], all.map(name => [label(name, service), number(value_of(living, name))]), i =>
      element("dt", {}, element("button", { type: "button", textContent: label(all[i], service), title: all[i], onclick: () => explain_metric(label(all[i], service), all[i]) })));
  });
}

