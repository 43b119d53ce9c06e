/* The lines: what is kept, which of them are shown, and why.
 *
 *     add --> all --levels, users, rooms--> passes? --patterns, judged by a worker--> shown */
const MOST = 200000, DROP = 20000;         // lines that are kept; so many go at once
const TALLEST = 60;                        // rows of a line in the list; the pane shows all of it
const UNITS_MOST = 1200000;                // rows in all: a browser's element may be only so tall
const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"];
const LEVEL_OF = { trace: 0, verbose: 0, silly: 0, debug: 1, info: 2, information: 2, log: 2, notice: 2, warn: 3, warning: 3,
  error: 4, err: 4, severe: 4, fatal: 5, critical: 5, crit: 5, panic: 5, emergency: 5, alert: 5 };
const KNOWN = new Set(["timestamp", "level", "msg", "text", "user", "room", "serverTime", "seqNumber"]);
const INCLUDE = 1, EXCLUDE = 2, SEARCH = 4; // what a pattern found in a line; below 0: not judged yet

let all = [];          // every line kept, in the order of the stream
let shown = [];        // those that pass
let tops = [0];        // tops[i]: rows above shown[i]
let allUnits = 0;
const removed = new Set();  // sequence numbers that must not come back with a backlog
let selected = new Set(), cursor = null, anchor = null;
let follow = true, unseen = 0, lastSeq = 0, hits = 0;
const fieldCounts = new Map(); // further keys of the entries -> how often
const levelsOn = LEVELS.map(() => true);
const levelCounts = LEVELS.map(() => 0);
let columns = [];
/* What the page has done, to see why it is slow: window.work in the browser's console. In one draw, and of one message: the most. */
const work = window.work = { draws: 0, rows: 0, rowsOfDraw: 0, passes: 0, linesOfMessage: 0 };

const text = v => v === undefined || v === null ? "" : typeof v === "string" ? v : JSON.stringify(v);

/* ---------------------------------------------------------------- users and rooms: each may be hidden, or chosen alone */

function hueOf(name) {
  let h = 7;
  for (let i = 0; i < name.length; i++) h = (h * 31 + name.charCodeAt(i)) >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  return ((h ^ (h >>> 13)) >>> 0) % 360;
}

class Facet {
  constructor(id, title, nobody) { Object.assign(this, { id, title, nobody, items: new Map(), only: new Set(), hidden: new Set() }); }
  of(name) {
    let item = this.items.get(name);
    if (!item) this.items.set(name, item = { name, count: 0, hue: hueOf(name), passes: this.lets(name) });
    return item;
  }
  lets(name) { return this.only.size > 0 ? this.only.has(name) : !this.hidden.has(name); }
  get narrowed() { return this.only.size > 0 || this.hidden.size > 0; }
  set(only, hidden) {
    this.only = new Set(only);
    this.hidden = new Set(hidden);
    for (const item of this.items.values()) item.passes = this.lets(item.name);
  }
  toggle(name) {
    const only = new Set(this.only), hidden = new Set(this.hidden), set = only.size > 0 ? only : hidden;
    if (set.has(name)) set.delete(name); else set.add(name);
    this.set(only, hidden);
  }
  clear() { this.items.clear(); }
}
const users = new Facet("users", "Users", "(no user)"), rooms = new Facet("rooms", "Rooms", "(no room)");

/* ---------------------------------------------------------------- times */

const view = { zone: "local", time: "client" };
const pad = (n, w) => String(n).padStart(w, "0");
function zoneName() {
  if (view.zone === "utc") return "UTC";
  const minutes = -new Date().getTimezoneOffset();
  return `UTC${minutes < 0 ? "-" : "+"}${pad(Math.floor(Math.abs(minutes) / 60), 2)}:${pad(Math.abs(minutes) % 60, 2)}`;
}
/* 2026-11-28 19:30:11.123 in the zone that is chosen; "" where there is none. */
function stamp(ms) {
  const d = new Date(ms);
  if (ms === null || isNaN(d)) return "";
  if (view.zone === "utc") return d.toISOString().replace("T", " ").slice(0, -1);
  return `${pad(d.getFullYear(), 4)}-${pad(d.getMonth() + 1, 2)}-${pad(d.getDate(), 2)} ${pad(d.getHours(), 2)}:${pad(d.getMinutes(), 2)}:${pad(d.getSeconds(), 2)}.${pad(d.getMilliseconds(), 3)}`;
}
/* Milliseconds of a number, a number in quotes, or a date in words; null where it is none. */
function timeOf(value) {
  if (value === undefined || value === null || value === "") return null;
  const ms = isFinite(value) ? Number(value) : Date.parse(value);
  return isFinite(ms) && Math.abs(ms) <= 8.64e15 ? ms : null;
}
const at = line => view.time === "server" ? line.server ?? line.client : line.client ?? line.server;

/* ---------------------------------------------------------------- a line */

function levelOf(word) {
  if (/^\d+$/.test(word)) return Math.max(0, Math.min(5, Math.round(Number(word) / 10) - 1)); // as pino and bunyan count
  return LEVEL_OF[word.toLowerCase()] ?? 2;
}
function countRows(msg) {
  let rows = 1;
  for (let i = msg.indexOf("\n"); i >= 0 && rows < TALLEST; i = msg.indexOf("\n", i + 1)) rows++;
  return rows;
}
/* The further keys of an entry, and those of a message that is an object itself. */
function fieldsOf(line) {
  const fields = {};
  for (const key in line.raw) if (!KNOWN.has(key)) fields[key] = line.raw[key];
  if (line.msg[0] === "{" && line.msg.length < 8192) {
    try { Object.assign(fields, JSON.parse(line.msg)); } catch { /* a text that begins with a brace */ }
  }
  return fields;
}
function lineOf(raw, seq) {
  const msg = (raw.msg !== undefined && raw.msg !== null ? text(raw.msg) : text(raw.text ?? raw.message)).replace(/\r\n?/g, "\n").replace(/\n+$/, "");
  const line = { raw, seq, level: levelOf(text(raw.level)), client: timeOf(raw.timestamp), server: timeOf(raw.serverTime),
    user: users.of(text(raw.user)), room: rooms.of(text(raw.room)), msg, units: countRows(msg), mark: false, bits: 0, ranges: null };
  for (const key in fieldsOf(line)) fieldCounts.set(key, (fieldCounts.get(key) ?? 0) + 1);
  return line;
}
const fieldOf = (line, name) => text(fieldsOf(line)[name]);
/* What the patterns look at: all that a row shows, but its time. */
const haystack = line => [line.user.name, line.room.name, line.msg, ...columns.map(name => fieldOf(line, name))].join(" ");

function passes(line) {
  if (!levelsOn[line.level] || !line.user.passes || !line.room.passes) return false;
  if (!patterns.include && !patterns.exclude) return true;
  if (line.bits < 0) return false;
  return !(patterns.include && !(line.bits & INCLUDE)) && !(patterns.exclude && line.bits & EXCLUDE);
}
const isHit = line => patterns.search !== null && line.bits > 0 && (line.bits & SEARCH) !== 0;

/* ---------------------------------------------------------------- adding and taking away */

/* The first index whose line is not before seq; nearly always the end. */
function placeOf(array, seq) {
  let low = 0, high = array.length;
  if (high === 0 || array[high - 1].seq < seq) return high;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (array[mid].seq < seq) low = mid + 1; else high = mid;
  }
  return low;
}
const indexOf = line => { const i = line ? placeOf(shown, line.seq) : -1; return i >= 0 && shown[i] === line ? i : shown.indexOf(line); };

function count(line, by) {
  line.user.count += by;
  line.room.count += by;
  levelCounts[line.level] += by;
  allUnits += by * line.units;
}

function add(raw, stored = false) {
  if (raw === null || typeof raw !== "object") return;
  /* A note of the node's about lines that this page was not sent bears the number of the last of them. */
  const note = raw.user === "server" && raw.node === "";
  const number = Number(raw.seqNumber) || 0, seq = number && note ? number + 0.5 : number;
  if (seq && removed.has(seq)) return;
  let to = all.length;
  if (seq) {
    to = placeOf(all, seq);
    if (to < all.length && all[to].seq === seq) return; // the backlog brings it again
  }
  // A note of the server's, or a server without numbers: where it came.
  const line = lineOf(raw, seq || lastSeq + 0.0001);
  line.stored = stored;
  lastSeq = Math.max(lastSeq, line.seq);
  count(line, 1);
  if (to === all.length) all.push(line); else all.splice(to, 0, line);
  densityStale = true;
  if (judging()) { line.bits = -1; judgeLater(line); } else if (!stored) insert(line);
}

/* Shows a line that was judged, if it passes. */
function insert(line) {
  if (!passes(line)) return;
  const to = placeOf(shown, line.seq);
  if (shown[to] === line) return;
  if (to === shown.length) {
    shown.push(line);
    tops.push(tops[tops.length - 1] + line.units);
  } else {
    shown.splice(to, 0, line);
    retop(to);
  }
  if (isHit(line)) hits++;
  if (!follow) { unseen++; if (to < firstShown()) list.scrollTop += line.units * ROW; }
}

function retop(from) {
  tops.length = shown.length + 1;
  for (let i = from; i < shown.length; i++) tops[i + 1] = tops[i] + shown[i].units;
}
function pick() {
  work.passes++;
  shown = all.filter(passes);
  retop(0);
  hits = patterns.search ? shown.reduce((n, line) => n + (isHit(line) ? 1 : 0), 0) : 0;
}

/* Shows lines from before, all at once: what is in sight stays there. */
function insertOlder() {
  const first = firstShown(), keep = shown[first], by = keep ? list.scrollTop - tops[first] * ROW : 0;
  pick();
  resize();
  if (keep && !follow) list.scrollTop = tops[indexOf(keep)] * ROW + by;
  densityStale = true;
}

function trim() {
  if (all.length <= MOST && allUnits <= UNITS_MOST) return;
  const before = tops[tops.length - 1];
  let drop = Math.max(DROP, all.length - MOST + DROP);
  for (const line of all.splice(0, Math.min(drop, all.length))) {
    count(line, -1);
    selected.delete(line);
    if (line === cursor) cursor = null;
    if (line === anchor) anchor = null;
    if (line.stored) older.ended = false;
  }
  drawOlder();
  pick();
  densityStale = true;
  if (!follow) list.scrollTop = Math.max(0, list.scrollTop - (before - tops[tops.length - 1]) * ROW);
}

/* Shows what passes now, and keeps the line in sight that one was at. */
function refilter() {
  dropHoles();
  const keep = cursor ?? shown[firstShown()];
  pick();
  densityStale = true;
  for (const line of selected) if (!passes(line)) selected.delete(line);
  if (cursor && !passes(cursor)) cursor = null;
  resize();
  if (!follow && keep) list.scrollTop = Math.max(0, tops[Math.min(placeOf(shown, keep.seq), shown.length)] * ROW - list.clientHeight / 2);
  draw();
}

function forget() {
  all = []; shown = []; tops = [0]; allUnits = 0;
  users.clear(); rooms.clear(); removed.clear(); fieldCounts.clear();
  levelCounts.fill(0);
  selected = new Set(); cursor = anchor = null;
  follow = true; unseen = 0; lastSeq = 0; hits = 0; densityStale = true;
  stopJudging();
  dropStored();
}

function remove() {
  const gone = selected.size > 0 ? selected : new Set(cursor ? [cursor] : []);
  if (gone.size === 0) return;
  const to = Math.max(0, Math.min(...[...gone].slice(0, 5000).map(indexOf)));
  for (const line of gone) { count(line, -1); if (line.raw.seqNumber) removed.add(line.seq); }
  all = all.filter(line => !gone.has(line));
  selected = new Set();
  cursor = anchor = null;
  pick();
  densityStale = true;
  if (shown.length > 0) { const wasFollowing = follow; moveTo(Math.min(to, shown.length - 1)); follow = wasFollowing; }
  drawMenus();
  draw();
}
