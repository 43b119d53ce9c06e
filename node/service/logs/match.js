/* The patterns. They come by link, and some take for ever ((\w+\s?)+!$ on a long line): so they are tried in a
 * worker, which is stopped when one takes too long, and the pattern is put aside and marked.
 *
 *     idle --lines--> asked --answer--> idle, or the next
 *                       '--no answer in LIMIT_MS--> worker ended, pattern put aside, asked again */
const LIMIT_MS = 1500, CHUNK = 1000, CHUNK_CHARS = 300000;
const patterns = { include: null, exclude: null, search: null }; // {source, flags}, or null

let worker = null, asked = null, toJudge = [], bulk = [], toFind = [], round = 0, bulkLeft = 0, watchdog = null;

/* Runs in the worker; speaks before it tries each pattern, so that it is known which one did not end. */
const judgeBody = () => {
  let tests = [], search = null;
  const found = value => {
    const ranges = [];
    search.lastIndex = 0;
    for (let m; ranges.length < 50 && (m = search.exec(value)) !== null && m[0] !== "";) ranges.push([m.index, m.index + m[0].length]);
    return ranges;
  };
  onmessage = ({ data }) => {
    if (data.patterns) {
      tests = data.patterns.map(([name, bit, source, flags]) => ({ name, bit, pattern: new RegExp(source, flags) }));
      const one = data.patterns.find(([name]) => name === "search");
      search = one ? new RegExp(one[2], one[3] + "g") : null;
      postMessage({ ready: true });
    } else if (data.hay) {
      const bits = new Int8Array(data.hay.length);
      for (const { name, bit, pattern } of tests) {
        postMessage({ at: name });
        data.hay.forEach((hay, i) => { if (pattern.test(hay)) bits[i] |= bit; });
      }
      postMessage({ bits });
    } else {
      postMessage({ at: "search" });
      postMessage({ ranges: data.cells.map(cells => cells.map(found)) });
    }
  };
};

const judging = () => patterns.include !== null || patterns.exclude !== null || patterns.search !== null;

function startWorker() {
  const source = URL.createObjectURL(new Blob([`(${judgeBody})()`], { type: "text/javascript" }));
  worker = new Worker(source);
  URL.revokeObjectURL(source);
  const mine = worker;
  worker.onmessage = ({ data }) => { if (mine === worker) onAnswer(data); };
  const bits = { include: INCLUDE, exclude: EXCLUDE, search: SEARCH };
  asked = { starting: true };
  worker.postMessage({ patterns: Object.keys(patterns).filter(name => patterns[name]).map(name => [name, bits[name], patterns[name].source, patterns[name].flags]) });
}
function endWorker() {
  clearTimeout(watchdog);
  worker?.terminate();
  worker = asked = null;
}
function stopJudging() {
  round++;
  toJudge = []; bulk = []; toFind = []; bulkLeft = 0;
  endWorker();
}

/* All lines are judged, since the patterns (or what they look at) changed. */
function judgeAll() {
  stopJudging();
  for (const line of all) line.ranges = null;
  if (!judging()) { refilter(); return; }
  for (let from = all.length; from > 0; from -= CHUNK) bulk.push(all.slice(Math.max(0, from - CHUNK), from));
  bulkLeft = bulk.length;
  if (bulkLeft === 0) refilter();
  askNext();
}
function judgeLater(line) {
  if (toJudge.length === 0) queueMicrotask(askNext);
  toJudge.push(line);
}
/* Where in the cells of these lines the search is; they are drawn again when it is known. */
function findRanges(lines) {
  toFind = lines;
  askNext();
}

function nextChunk() {
  let chars = 0, n = 0;
  while (n < toJudge.length && n < CHUNK && chars < CHUNK_CHARS) chars += toJudge[n++].msg.length;
  return toJudge.splice(0, n);
}
function askNext() {
  if (asked || !judging() || toJudge.length + bulk.length + toFind.length === 0) return;
  if (!worker) { startWorker(); return; }
  if (toFind.length > 0) {
    asked = { find: toFind, round };
    toFind = [];
    worker.postMessage({ cells: asked.find.map(cellsOf) });
  } else {
    const fromBulk = bulk.length > 0;
    asked = { lines: fromBulk ? bulk.shift() : nextChunk(), bulk: fromBulk, round };
    worker.postMessage({ hay: asked.lines.map(haystack) });
  }
  watch(null);
}
function watch(name) {
  clearTimeout(watchdog);
  asked.at = name;
  // The second, short wait is for an answer that stands in the page's own queue.
  watchdog = setTimeout(() => { watchdog = setTimeout(onTooLong, 100); }, LIMIT_MS);
}
function onTooLong() {
  const job = asked, name = job.at ?? Object.keys(patterns).find(key => patterns[key]);
  endWorker();
  patterns[name] = null;
  flag($(name), "stopped: it took too long");
  if (name === "search") toFind = [];
  if (job.lines && job.bulk) bulk.unshift(job.lines); else if (job.lines) toJudge.unshift(...job.lines);
  if (judging()) { askNext(); return; }
  bulk = []; toJudge = []; bulkLeft = 0;
  for (const line of all) if (line.bits < 0) line.bits = 0;
  refilter();
}

function onAnswer(data) {
  if (data.at) { watch(data.at); return; }
  clearTimeout(watchdog);
  const job = asked;
  asked = null;
  if (data.bits) onBits(job, data.bits);
  if (data.ranges) { job.find.forEach((line, i) => { line.ranges = data.ranges[i]; }); draw(); }
  askNext();
}
function onBits(job, bits) {
  job.lines.forEach((line, i) => { line.bits = bits[i]; });
  if (job.bulk) {
    if (--bulkLeft === 0) { refilter(); onSearched(); }
  } else if (bulkLeft === 0) {
    if (job.lines.some(line => line.stored)) insertOlder(); else job.lines.forEach(insert);
    draw();
  }
}

/* ---------------------------------------------------------------- what is typed */

function flag(input, words) {
  const note = $(input.id + "-note");
  input.toggleAttribute("aria-invalid", false);
  if (words) input.setAttribute("aria-invalid", "true");
  note.textContent = words ?? "";
}
/* A regular expression; what is none is taken as it stands, and shown to be so. "^" and "$" are of each line of a text. */
function patternOf(input) {
  const value = input.value;
  flag(input, null);
  if (value === "") return null;
  try { new RegExp(value, "im"); return { source: value, flags: "im" }; } catch {
    flag(input, "no pattern: taken as it stands");
    return { source: value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), flags: "im" };
  }
}
function setPattern(name) {
  const next = patternOf($(name));
  if (next?.source === patterns[name]?.source) return;
  patterns[name] = next;
  judgeAll();
}
