// The desktop plugin: SetName right after connecting, notices are ServerMsg, LeaveSession ends the connection.
'use strict';

const assert = require('node:assert');
const { SyncClient, run } = require('./sync_client');

async function pluginClient(url) {
  const client = await SyncClient.connect(url);
  client.send({ type: 'SetName', name: 'Jäger' });
  return client;
}

run(async (first, second, third) => {
  const version = await fetch(`${first.replace('ws:', 'http:')}/version`);
  assert.strictEqual(await version.text(), '0.1');

  const leader = await pluginClient(first);
  const follower = await pluginClient(second);
  const other = await pluginClient(third);
  leader.setSession('plugin', true);
  await leader.untilState(1, true);
  follower.setSession('plugin', false);
  await follower.untilState(2, true);
  await leader.untilState(2, true);

  other.send({ type: 'SetSession', sessionId: '', isLeader: false });
  const notice = await other.message();
  assert.deepStrictEqual(notice, { type: 'ServerMsg', text: 'Session id cannot be empty!', level: 'warn' });

  leader.send({ type: 'push', sessionId: 'plugin', data: { hp: 0.5 } });
  assert.strictEqual(await follower.text(), '{"type":"push","sessionId":"plugin","data":{"hp":0.5}}');

  leader.send({ type: 'LeaveSession' });
  await leader.closed;
  await follower.untilState(1, false);
  follower.socket.terminate();
  other.socket.close();
  await other.closed;
});
