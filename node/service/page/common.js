/* What both pages share: the token, the socket that carries it, the colours. */
const $ = id => document.getElementById(id);

/* ---------------------------------------------------------------- the token
 * Kept in the session of this tab, never in the address: addresses end in access logs. One that comes in the
 * address is taken over, and taken out of it: #token=, which no browser sends; or ?token=, which old bookmarks have. */

const token = {
  key: "muster token",
  /* What is kept for this page; else what the other page was given, which is often the same. */
  get() {
    try { return sessionStorage.getItem(`${token.key} ${PAGE}`) ?? sessionStorage.getItem(token.key) ?? ""; } catch { return token.here ?? ""; }
  },
  set(value) {
    token.here = value;
    try { sessionStorage.setItem(`${token.key} ${PAGE}`, value); sessionStorage.setItem(token.key, value); } catch { /* kept in this page only */ }
  },
  takeFromAddress() {
    const query = new URLSearchParams(location.search), hash = new URLSearchParams(location.hash.slice(1));
    const given = query.get("token") ?? hash.get("token");
    if (given === null) return;
    token.set(given);
    query.delete("token");
    hash.delete("token");
    const rest = [String(query) && "?" + query, String(hash) && "#" + hash];
    history.replaceState(history.state, "", location.pathname + rest.join(""));
  },
};

/* Asks for a token; `use` is called when one was given. A dialog that was closed is opened again by `again()`. */
function askForToken(setting, use) {
  let box = $("token-box");
  if (!box) {
    box = document.createElement("dialog");
    box.id = "token-box";
    box.setAttribute("aria-labelledby", "token-title");
    box.innerHTML = `<form method="dialog"><h2 id="token-title">A token is wanted</h2><p id="token-why"></p>
      <label for="token-text">Token</label><input id="token-text" type="password" autocomplete="off" spellcheck="false">
      <menu><button value="no" formnovalidate>Not now</button><button value="use">Use it</button></menu></form>`;
    document.body.append(box);
    // Enter in the field is "Use it", though the other button stands first.
    $("token-text").addEventListener("keydown", event => { if (event.key === "Enter") { event.preventDefault(); box.close("use"); } });
  }
  const had = token.get() !== "";
  $("token-why").textContent = had ? "This server does not take the token that was given. Another one?"
    : `This server shows itself only to those who know its token (setting ${setting}). It is kept until this tab is closed.`;
  $("token-why").className = had ? "wrong" : "";
  $("token-text").value = "";
  box.onclose = () => {
    if (box.returnValue !== "use" || !$("token-text").value) return;
    token.set($("token-text").value.trim());
    use();
  };
  box.returnValue = "";
  if (!box.open) box.showModal();
}

/* ---------------------------------------------------------------- the socket
 * A browser gives a WebSocket no header but the list of protocols: the token goes there. A server that does not
 * take it says so with this code. */
const WANTS_TOKEN = 4401;

function openSocket(url) {
  const bytes = new TextEncoder().encode(token.get());
  const word = btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return new WebSocket(url, word ? ["muster", "bearer." + word] : ["muster"]);
}

/* ---------------------------------------------------------------- colours */

const THEMES = ["system", "light", "dark"];
function setTheme(name) {
  if (name === "system") delete document.documentElement.dataset.theme; else document.documentElement.dataset.theme = name;
  $("theme").textContent = "Theme: " + name;
  try { localStorage.setItem("theme", name); } catch { /* not kept, then */ }
  dispatchEvent(new Event("theme"));
}
function startTheme() {
  let kept = "system";
  try { kept = localStorage.getItem("theme"); } catch { /* not allowed here */ }
  setTheme(THEMES.includes(kept) ? kept : "system");
  $("theme").onclick = () => setTheme(THEMES[(THEMES.indexOf(document.documentElement.dataset.theme ?? "system") + 1) % 3]);
}

const many = (n, one, several = one + "s") => `${n.toLocaleString("en")} ${n === 1 ? one : several}`;
