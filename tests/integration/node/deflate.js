// permessage-deflate as `ws` offers it: client_max_window_bits, and context takeover that the server declines.
'use strict';

const assert = require('node:assert');
const { SyncClient, run } = require('./sync_client');

const OFFERS = [
  true,
  { threshold: 0 },
  { threshold: 0, clientMaxWindowBits: 10 },
  { threshold: 0, zlibDeflateOptions: { level: 9 } },
];

async function exchange(urls, index) {
  const session = `deflate-${index}`;
  const options = { perMessageDeflate: OFFERS[index] };
  const leader = await SyncClient.connect(urls[0], options);
  const follower = await SyncClient.connect(urls[1], options);
  const plain = await SyncClient.connect(urls[2], { perMessageDeflate: false });
  for (const client of [leader, follower]) {
    assert.match(client.extensions, /^permessage-deflate; server_no_context_takeover; client_no_context_takeover/);
  }
  assert.strictEqual(plain.extensions, undefined);

  leader.setSession(session, true);
  await leader.untilState(1, true);
  follower.setSession(session, false);
  await follower.untilState(2, true);
  plain.setSession(session, false);
  await plain.untilState(3, true);
  await follower.untilState(3, true);

  for (let size = 1; size < 60000; size = size * 3 + 1) {
    const push = `{ "type":"Push","sessionId":"${session}","data":"${'hunter ü '.repeat(size).slice(0, size)}"}`;
    for (let repeat = 0; repeat < 3; repeat++) {
      leader.send(push);
      assert.strictEqual(await follower.text(), push);
      assert.strictEqual(await plain.text(), push);
    }
  }
  for (const client of [leader, follower, plain]) {
    client.socket.close();
    await client.closed;
  }
}

run(async (...urls) => {
  for (let index = 0; index < OFFERS.length; index++) {
    await exchange(urls, index);
  }
});
