// SPDX-License-Identifier: MIT
/* What llhttp, in its strict mode, reads of the bytes of each case: the same lines as second_http (http.c), and
 *     U      behind a request that asks for another protocol: what follows is not HTTP any more
 *     . or . WHY      the end of the case
 * llhttp is inside Node.js; the binding is what its own http module uses. */
"use strict";
process.removeAllListeners("warning");
process.on("warning", () => {});
const { HTTPParser, methods } = process.binding("http_parser");

const hex = bytes => " " + (bytes.length > 0 ? Buffer.from(bytes, "latin1").toString("hex") : "-");

function read(bytes) {
  const lines = [], parser = new HTTPParser();
  let head = null, more = [], target = "", body = [];
  parser.initialize(HTTPParser.REQUEST, {}, 65536, 0);
  parser[HTTPParser.kOnHeaders] = (fields, url) => { more.push(...fields); target += url; }; // what comes in pieces
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, fields, method, url, status, text, upgrade) => {
    head = { fields: more.concat(fields ?? []), method: methods[method], url: url ?? target, upgrade };
    more = [];
    target = "";
    return 0;
  };
  parser[HTTPParser.kOnBody] = (part, offset, length) => {
    body.push(offset === undefined ? Buffer.from(part) : Buffer.from(part).subarray(offset, offset + length));
  };
  parser[HTTPParser.kOnMessageComplete] = () => {
    const joined = new Map();
    for (let i = 0; i < head.fields.length; i += 2) {
      const name = head.fields[i].toLowerCase(), value = head.fields[i + 1];
      joined.set(name, joined.has(name) ? `${joined.get(name)}, ${value}` : value);
    }
    lines.push("R" + hex(head.method) + hex(head.url) + hex(Buffer.concat(body)));
    for (const [name, value] of joined) lines.push("F" + hex(name) + hex(value));
    if (head.upgrade) lines.push("U");
    body = [];
    more = []; // trailers
    target = "";
  };
  const taken = parser.execute(bytes);
  lines.push(taken instanceof Error ? `. ${taken.code}` : ".");
  parser.close();
  return lines;
}

const all = require("fs").readFileSync(0);
for (let at = 0; at + 4 <= all.length;) {
  const length = all.readUInt32BE(at);
  console.log(read(all.subarray(at + 4, at + 4 + length)).join("\n"));
  at += 4 + length;
}
