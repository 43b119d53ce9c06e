/* The connection: live lines, silence noticed, tried again more and more slowly; pausing. */
const PING_MS = 10000, SILENCE_MS = 25000, WAIT_MOST = 10000, BACKLOG = 1000, BACKLOG_MOST = 10000, WAITING_MOST = 50000, LINE_MS = 4000;
let socket = null, wait = 0, retry = null, heard = 0, countdown = null, paused = false, waiting = [], lostWaiting = 0, lineWanted = 0, lineTimer = null;

function say(state, words) {
  $("state").dataset.state = state;
  $("state").textContent = words;
  draw();
  document.title = `${paused ? "⏸ " : state === "live" ? "" : "○ "}${$("room").value.trim() || "all"} · Logs`;
}
function sayLive() { say(paused ? "paused" : "live", paused ? "paused" : "live"); }

/* ---------------------------------------------------------------- pausing: lines wait, and are counted */

function pause(on) {
  if (on === paused) return;
  paused = on;
  if (!on) {
    if (lostWaiting > 0) tell(`${many(lostWaiting, "line")} that came while it was paused did not fit.`);
    for (const entry of waiting) add(entry);
    waiting = [];
    lostWaiting = 0;
    draw();
  }
  drawPause();
  if (socket?.readyState === WebSocket.OPEN) sayLive();
}
function drawPause() {
  $("pause").textContent = !paused ? "Pause" : waiting.length + lostWaiting > 0 ? `Go on (${many(waiting.length + lostWaiting, "line")} waiting)` : "Go on";
  $("pause").setAttribute("aria-pressed", paused);
  document.body.classList.toggle("paused", paused);
}
function take(entries) {
  work.linesOfMessage = Math.max(work.linesOfMessage, entries.length);
  if (!paused) { for (const entry of entries) add(entry); draw(); return; }
  for (const entry of entries) waiting.push(entry);
  if (waiting.length > WAITING_MOST) lostWaiting += waiting.splice(0, waiting.length - WAITING_MOST).length;
  drawPause();
}

/* ---------------------------------------------------------------- a link to a line */

function wantLine() {
  lineWanted = Number(new URLSearchParams(location.hash.slice(1)).get("line")) || 0;
  clearTimeout(lineTimer);
  if (!lineWanted || seekLine()) return;
  lineTimer = setTimeout(() => {
    if (older.has) loadLine(lineWanted); else tell("The line of this link is not among the last lines of the stream; PostgreSQL may have it.");
    lineWanted = 0;
  }, LINE_MS);
}
function seekLine() {
  if (!lineWanted) return true;
  const to = placeOf(shown, lineWanted);
  if (shown[to]?.seq !== lineWanted) return false;
  lineWanted = 0;
  clearTimeout(lineTimer);
  follow = false;
  moveTo(to);
  follow = false;
  toggleDetail(true);
  return true;
}
addEventListener("hashchange", wantLine);

/* ---------------------------------------------------------------- the socket */

function address() {
  const url = new URL("logs/listen", location.href), room = $("room").value.trim(), query = new URLSearchParams(location.search);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.hash = "";
  url.search = new URLSearchParams({ beats: 1, backlog: query.get("backlog") ?? (lineWanted ? BACKLOG_MOST : BACKLOG), ...(room && { roomId: room }) });
  return url;
}
function lost() {
  socket = null;
  wait = Math.min(WAIT_MOST, Math.max(500, wait * 2)) * (0.75 + Math.random() / 2);
  const until = Date.now() + wait;
  clearInterval(countdown);
  const show = () => say("away", `the server does not answer: again in ${Math.max(0, Math.ceil((until - Date.now()) / 1000))} s`);
  show();
  countdown = setInterval(show, 500);
  clearTimeout(retry);
  retry = setTimeout(connect, wait);
}
function turnedAway() {
  socket = null;
  clearInterval(countdown);
  say("token", "a token is wanted");
  $("give-token").hidden = false;
  askForToken("logs-listen-token", connect);
}
$("give-token").onclick = turnedAway;

function connect() {
  clearInterval(countdown);
  clearTimeout(retry);
  $("give-token").hidden = true;
  say("connecting", "connecting");
  const mine = socket = openSocket(address());
  heard = Date.now();
  mine.onopen = () => { if (mine === socket) { heard = Date.now(); sayLive(); wantLine(); if (!older.has) findStored(); } };
  mine.onmessage = event => {
    if (mine !== socket) return;
    heard = Date.now();
    wait = 0;
    let entries;
    try { entries = JSON.parse(event.data); } catch { return; }
    take(Array.isArray(entries) ? entries : [entries]);
    if (lineWanted) seekLine();
  };
  mine.onclose = event => { if (mine === socket) { if (event.code === WANTS_TOKEN) turnedAway(); else lost(); } };
}
setInterval(() => {
  if (!socket) return;
  if (Date.now() - heard > SILENCE_MS) { const gone = socket; lost(); gone.close(); }
  else if (socket.readyState === WebSocket.OPEN) socket.send("ping");
}, PING_MS);
addEventListener("online", () => { if (!socket && $("give-token").hidden) { wait = 0; connect(); } });

function setRoom() {
  document.body.classList.toggle("one-room", $("room").value.trim() !== "");
  forget();
  waiting = []; lostWaiting = 0;
  drawPause();
  const old = socket;
  socket = null;
  old?.close();
  wait = 0;
  lineWanted = Number(new URLSearchParams(location.hash.slice(1)).get("line")) || 0;
  connect();
  drawMenus();
  draw();
}
function chooseRoom() {
  if (addressNow() === location.pathname + location.search + location.hash) return;
  location.hash && history.replaceState(null, "", location.pathname + location.search);
  remember();
  setRoom();
}
$("room-form").addEventListener("submit", event => { event.preventDefault(); chooseRoom(); list.focus(); });
$("room").addEventListener("change", chooseRoom);

token.takeFromAddress();
startTheme();
addEventListener("theme", drawDensity);
readAddress();
drawHead();
drawView();
setRoom();
list.focus();
