// A member of sync sessions over the npm package `ws`, which the old server and many clients use.
'use strict';

const assert = require('node:assert');
const WebSocket = require('ws');

const DEADLINE = 20000;

class SyncClient {
  constructor(url, options) {
    this.messages = [];
    this.waiting = [];
    this.socket = new WebSocket(`${url}/connect?playerName=node`, options);
    this.socket.once('upgrade', (response) => {
      this.extensions = response.headers['sec-websocket-extensions'];
    });
    this.opened = this.event('open');
    this.closed = this.event('close');
    this.socket.on('message', (data, isBinary) => {
      assert.ok(!isBinary, 'the server sends text only');
      this.take(data.toString());
    });
  }

  static async connect(url, options) {
    const client = new SyncClient(url, options);
    await client.opened;
    return client;
  }

  event(name) {
    return new Promise((resolve, reject) => {
      this.socket.once(name, resolve);
      this.socket.once('error', reject);
    });
  }

  take(text) {
    const next = this.waiting.shift();
    if (next) {
      next(text);
    } else {
      this.messages.push(text);
    }
  }

  text() {
    if (this.messages.length > 0) {
      return Promise.resolve(this.messages.shift());
    }
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  async message() {
    return JSON.parse(await this.text());
  }

  send(message) {
    this.socket.send(typeof message === 'string' ? message : JSON.stringify(message));
  }

  setSession(sessionId, isLeader) {
    this.send({ type: 'SetSession', sessionId, isLeader });
  }

  async untilState(playersCount, leaderConnected) {
    for (;;) {
      const state = await this.message();
      assert.strictEqual(state.type, 'SessionState');
      if (state.playersCount === playersCount && state.leaderConnected === leaderConnected) {
        return;
      }
    }
  }

  // What was sent before now has been taken once this returns.
  async fence() {
    this.send('ping');
    assert.strictEqual(await this.text(), 'pong');
  }
}

// Runs `scenario(url of each node...)`; the process ends with 0 when it holds.
function run(scenario) {
  const timer = setTimeout(() => {
    console.error('the deadline is over');
    process.exit(2);
  }, DEADLINE);
  scenario(...process.argv.slice(2)).then(() => clearTimeout(timer), (error) => {
    console.error(error);
    process.exit(1);
  });
}

module.exports = { SyncClient, run };
