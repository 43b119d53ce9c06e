// A game server of the cross-server chat as the plugin in use is: what one `data` event gives is one packet to
// JSON.parse, and a server that is not in the directory is an error. Orders come as in lib/relay.py, and reads of more
// than one packet are counted as there.
'use strict';

const net = require('node:net');
const readline = require('node:readline');

const [port, name, rate, seconds] = process.argv.slice(2);
const connections = new Map();
let own = null;
let heard = 0;
let joined = 0;
let said = 0;
let failure = null;

const handlers = {
  acknowledge(packet) {
    own = packet.identifier;
    packet.connections.forEach((server) => connections.set(server.identifier, server));
    connections.get(packet.hostIdentifier).name.toString();
    console.log('ready');
  },
  connection(packet) {
    if (own === null || connections.has(packet.identifier)) throw new Error(`told twice: ${packet.identifier}`);
    connections.set(packet.identifier, packet);
  },
  disconnect(packet) {
    connections.get(packet.identifier).name.toString();
    connections.delete(packet.identifier);
  },
  message(packet) {
    connections.get(packet.identifier).name.toString();
    heard += 1;
  },
};

const packetsOf = (text) => text.split(/(?<=\})(?=\{)/);

const socket = net.connect(Number(port), '127.0.0.1');
const send = (packet) => socket.write(JSON.stringify(packet));
socket.setNoDelay(true);
socket.on('connect', () => send({
  type: 'handshake', version: 1, name, color: '00aaff', prefix: `[${name}]`, playerCount: 0,
}));
socket.on('data', (data) => {
  try {
    const packets = packetsOf(data.toString());
    joined += packets.length > 1;
    for (const text of packets) {
      const packet = JSON.parse(text);
      handlers[packet.type](packet);
    }
  } catch (error) {
    failure = failure || `${error}: ${data}`;
    socket.destroy();
  }
});
socket.on('close', () => {
  console.log(JSON.stringify({ heard, joined, failure }));
  process.exit(0);
});

function talk(end) {
  if (Date.now() >= end) {
    console.log(said);
    return;
  }
  said += 1;
  send({ type: 'message', identifier: own, username: name, content: `${name} ${said}` });
  setTimeout(talk, -Math.log(1 - Math.random()) * 1000 / rate, end);
}

let orders = 0;
readline.createInterface({ input: process.stdin }).on('line', (line) => {
  orders += 1;
  if (orders === 1) talk(Date.now() + seconds * 1000);
  else socket.destroy();
});
