// The client of the seed's document: Close leaves the connection open, notices are ServerMessage.
'use strict';

const assert = require('node:assert');
const { SyncClient, run } = require('./sync_client');

run(async (first, second, third) => {
  const leader = await SyncClient.connect(first);
  const follower = await SyncClient.connect(second);
  const other = await SyncClient.connect(third);
  leader.setSession('seed', true);
  await leader.untilState(1, true);
  follower.setSession('seed', false);
  await follower.untilState(2, true);
  other.setSession('seed', false);
  await Promise.all([leader, follower, other].map((client) => client.untilState(3, true)
    .catch((error) => assert.fail(error))));

  const push = `{"type":"Push", "sessionId":"seed","data":[1.0, 1e3, "${'monster '.repeat(500)}"]}`;
  leader.send(push);
  assert.strictEqual(await follower.text(), push);
  assert.strictEqual(await other.text(), push);

  follower.send(push);
  const refusal = await follower.message();
  assert.strictEqual(refusal.type, 'ServerMessage');
  assert.strictEqual(refusal.level, 'warn');
  await other.fence();

  follower.send({ type: 'close' });
  await leader.untilState(2, true);
  await other.untilState(2, true);
  await follower.fence();
  follower.setSession('seed');
  await follower.untilState(3, true);

  for (const client of [leader, follower, other]) {
    client.socket.close(1000);
    assert.strictEqual(await client.closed, 1000);
  }
});
