/* Shows a page of docs/: the part of Markdown that these pages use, made of elements, never of markup. */
const name = new URLSearchParams(location.search).get("page") ?? "operate";

function element(tag, ...children) {
  const made = document.createElement(tag);
  made.append(...children);
  return made;
}
/* The same as on a forge: [titles](page.md#here) lead there. */
const anchor = title => title.toLowerCase().replace(/[^\w\- ]/g, "").replaceAll(" ", "-");

/* A page of this folder is shown here; others are only in the sources. */
function link(words, target) {
  const made = element("a", ...inline(words)), page = /^([\w-]+)\.md(#.*)?$/.exec(target);
  if (page) made.href = `docs?page=${page[1]}${page[2] ?? ""}`;
  else if (/^(#|https?:)/.test(target)) made.href = target;
  else return element("span", ...inline(words));
  return made;
}
function inline(text) {
  const made = [], mark = /`([^`]+)`|\*\*((?:`[^`]*`|[^`])+?)\*\*|\*([^*\s][^*]*)\*|\[((?:`[^`]*`|[^\]`])+)\]\(([^)\s]+)\)/g;
  let from = 0;
  for (let at; (at = mark.exec(text)) !== null; from = at.index + at[0].length) {
    made.push(text.slice(from, at.index));
    made.push(at[1] ? element("code", at[1]) : at[2] ? element("strong", ...inline(at[2])) : at[3] ? element("em", ...inline(at[3])) : link(at[4], at[5]));
    mark.lastIndex = at.index + at[0].length;
  }
  return [...made, text.slice(from)];
}

function heading(line) {
  const [, marks, title] = /^(#+) (.*)$/.exec(line), made = element("h" + Math.min(marks.length, 3)), to = element("a", ...inline(title));
  made.id = anchor(title);
  if (marks.length > 1) to.href = "#" + made.id;
  made.append(...marks.length > 1 ? [to] : inline(title));
  return made;
}
function table(lines) {
  const rows = lines.map(line => line.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/).map(cell => cell.trim().replaceAll("\\|", "|")));
  const row = (cells, tag) => element("tr", ...cells.map(cell => element(cell ? tag : "td", ...inline(cell))));
  const all = element("table", ...rows[0].some(cell => cell) ? [element("thead", row(rows[0], "th"))] : [], element("tbody", ...rows.slice(2).map(cells => row(cells, "td"))));
  const box = element("div", all);
  box.className = "wide";
  box.tabIndex = 0;
  return box;
}
/* Items with what is indented under them, which may be a list or a block again. */
function items(lines) {
  const found = [], mark = /^(?:[-*]|\d+\.) +/;
  for (const line of lines) {
    if (mark.test(line)) found.push([line.replace(mark, "")]); else found[found.length - 1].push(line.replace(/^ {1,3}/, ""));
  }
  return element(/^\d/.test(lines[0]) ? "ol" : "ul", ...found.map(part => {
    const inside = blocks(part);
    return element("li", ...inside[0]?.tagName === "P" ? [...inside[0].childNodes, ...inside.slice(1)] : inside);
  }));
}
function blocks(lines) {
  const made = [];
  let at = 0;
  const take = test => { const from = at; while (at < lines.length && test(lines[at], lines[at + 1] ?? "")) at++; return lines.slice(from, at); };
  while (at < lines.length) {
    const line = lines[at];
    if (line.trim() === "" || line.startsWith("<!--")) at++;
    else if (line.startsWith("```")) {
      at++;
      const text = element("pre", element("code", take(one => !one.startsWith("```")).join("\n")));
      text.tabIndex = 0;
      made.push(text);
      at++;
    } else if (/^#+ /.test(line)) { made.push(heading(line)); at++; }
    else if (line.startsWith("|")) made.push(table(take(one => one.startsWith("|"))));
    else if (/^([-*]|\d+\.) /.test(line)) made.push(items(take((one, next) => /^([-*]|\d+\.) |^ +\S/.test(one) || (one === "" && /^ {2,}\S/.test(next)))));
    else made.push(element("p", ...inline(take(one => one.trim() !== "" && !/^(```|#+ |\||[-*] |\d+\. )/.test(one)).join(" "))));
  }
  return made;
}

startTheme();
$("name").textContent = `docs/${name}.md, as of this node's version`;
fetch(`docs?page=${encodeURIComponent(name)}`, { headers: { Accept: "text/plain" } }).then(async answer => {
  if (!answer.ok) throw new Error(`there is no page ${name}`);
  $("text").replaceChildren(...blocks((await answer.text()).split("\n")));
  document.title = `${document.querySelector("h1")?.textContent ?? name} · Muster`;
  document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
}).catch(wrong => { $("text").textContent = `The page cannot be shown: ${wrong.message}.`; });
