/* Further back than the stream: lines that are stored in PostgreSQL, where this node may read it. They come before
 * the first line, page by page, by the filters of now; patterns are tried here, as on all lines. */
const PAGES = 8; // without a line that passes, before a person is asked
const older = { has: false, busy: false, ended: false, by: null, round: 0 }; // by: the filters that pages were asked for with

const filtersNow = () => ({ levels: LEVELS.filter((_, i) => levelsOn[i]), users: [...users.only], nousers: [...users.hidden], rooms: [...rooms.only], norooms: [...rooms.hidden] });
function queryOf(filters) {
  const query = { limit: 500 };
  if (filters.levels.length < LEVELS.length) query.levels = filters.levels.join(",");
  for (const name of ["users", "nousers", "rooms", "norooms"]) if (filters[name].length > 0) query[name] = JSON.stringify(filters[name]);
  return query;
}
/* All that passes `now` was asked for with `was`, too. */
const narrows = (now, was) => now.levels.every(level => was.levels.includes(level)) && JSON.stringify({ ...now, levels: 0 }) === JSON.stringify({ ...was, levels: 0 });

async function readStored(query) {
  const room = $("room").value.trim(), bearer = String.fromCharCode(...new TextEncoder().encode(token.get()));
  const answer = await fetch("logs/stored?" + new URLSearchParams({ ...query, ...(room && { room }) }), bearer ? { headers: { Authorization: "Bearer " + bearer } } : {});
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error ?? answer.statusText);
  return said;
}
async function findStored() {
  try { older.has = (await readStored({ limit: 0 })).stored; } catch { older.has = false; }
  drawOlder();
}
function drawOlder() {
  $("older").hidden = !older.has;
  $("older").disabled = older.busy || older.ended;
  $("older").textContent = older.busy ? "Looking…" : older.ended ? "No older lines" : "Older lines";
}

/* ---------------------------------------------------------------- pages */

/* What stands before the first line that is kept. */
function placeBefore() {
  const first = all.find(line => line.raw.seqNumber && line.raw.serverTime);
  if (!first) return {};
  return first.place ?? { before: first.raw.serverTime * 1000 + 1000, seq: 0 };
}
function takeStored(said) {
  const { entries } = said, hadStored = all.some(line => line.stored), stream = all[0];
  if (!hadStored && entries.length > 0 && stream) note(entries[0], stream.server ?? stream.client, said.unstored);
  for (const entry of entries) add(entry, true);
  const last = entries.length > 0 ? all[placeOf(all, Number(entries.at(-1).seqNumber))] : null;
  if (last) last.place = { before: said.before, seq: said.seq };
  older.ended = !said.more;
  if (!judging()) insertOlder();
  draw();
}
/* Marks where the one ends and the other begins. */
function note(newest, streamAt, unstored) {
  const behind = unstored > 0 ? `; ${many(unstored, "line")} not stored yet may be missing here` : "";
  add({ user: "server", node: "", level: "info", seqNumber: newest.seqNumber,
    msg: `▲ stored in PostgreSQL, up to ${stamp(newest.serverTime).slice(0, 19)}   ▼ the stream${streamAt ? `, from ${stamp(streamAt).slice(0, 19)}` : ""} ${zoneName()}${behind}` });
}
const judged = async () => { while (judging() && (toJudge.length + bulk.length > 0 || asked?.lines)) await new Promise(done => setTimeout(done, 30)); };

async function loadOlder() {
  const round = ++older.round, filters = filtersNow();
  if (!older.has || older.busy || older.ended) return;
  if (filters.levels.length === 0) { tell("No level is on."); return; }
  if (all.length >= MOST - DROP) { tell("This page holds as many lines as it can: narrow the filters, or remove some."); return; }
  older.busy = true;
  older.by = filters;
  follow = false;
  drawOlder();
  try {
    for (let page = 0, had = shown.length; page < PAGES && shown.length === had && !older.ended; page++) {
      const said = await readStored({ ...queryOf(filters), ...placeBefore() });
      if (round !== older.round) return;
      takeStored(said);
      await judged();
    }
    const first = all[0] && at(all[0]);
    if (!older.ended) tell(`Looked back to ${stamp(first).slice(0, 19)} ${zoneName()}.`);
  } catch (error) {
    if (round === older.round) tell(error.message);
  } finally {
    if (round === older.round) { older.busy = false; drawOlder(); }
  }
}
/* The line of a link, and what stands before it. */
async function loadLine(number) {
  const round = ++older.round;
  try {
    const said = await readStored({ line: number, limit: 200 });
    if (round !== older.round) return;
    if (said.entries.length === 0) { tell("Neither the stream nor PostgreSQL has the line of this link."); return; }
    follow = false;
    older.by = { ...filtersNow(), levels: LEVELS };
    if (all.length > 0) add({ user: "server", node: "", level: "info", seqNumber: number, msg: "▲ stored in PostgreSQL   ▼ the stream; lines in between are not shown here" });
    takeStored(said);
    await judged();
    lineWanted = number;
    if (!seekLine()) { lineWanted = 0; tell("The line of this link is stored, but does not pass the filters."); }
  } catch (error) { if (round === older.round) tell(error.message); }
}

/* Lines that were asked for with narrower filters would leave holes between them: they go, and can be asked for again. */
function dropHoles() {
  const now = filtersNow();
  if (!older.by || narrows(now, older.by)) return;
  dropStored();
}
function dropStored() {
  older.round++;
  Object.assign(older, { busy: false, ended: false, by: null });
  for (const line of all) if (line.stored) count(line, -1);
  all = all.filter(line => !line.stored && !(line.raw.node === "" && line.msg.startsWith("▲")));
  selected = new Set([...selected].filter(line => !line.stored));
  if (cursor?.stored) cursor = null;
  drawOlder();
}
$("older").onclick = () => { loadOlder(); list.focus(); };
