// SPDX-License-Identifier: MIT
// usage: ws.cjs PORT [REDIS_PORT]   groups on ws: the path is the group, what one says goes to the others in it
"use strict";
const { randomBytes } = require("crypto");
const { WebSocketServer, WebSocket } = require("ws");

const [port, redisPort] = process.argv.slice(2);
const OWN = randomBytes(8); // before what this process publishes: it has sent that to its own members already
const groups = new Map(); // name to { members, ready }
let publisher, subscriber;

function send(group, data, sender) {
    for (const member of group.members) {
        if (member !== sender && member.readyState === WebSocket.OPEN) {
            member.send(data, { binary: false });
        }
    }
}

function enter(name, socket) {
    let group = groups.get(name);
    if (!group) {
        group = { members: new Set(), ready: subscriber ? subscriber.subscribe(name) : Promise.resolve() };
        groups.set(name, group);
    }
    group.members.add(socket);
    return group;
}

function leave(name, group, socket) {
    group.members.delete(socket);
    if (group.members.size === 0) {
        groups.delete(name);
        if (subscriber) {
            subscriber.unsubscribe(name);
        }
    }
}

if (redisPort) {
    const { Redis } = require("ioredis");
    publisher = new Redis(Number(redisPort), "127.0.0.1", { enableAutoPipelining: true });
    subscriber = new Redis(Number(redisPort), "127.0.0.1");
    subscriber.on("messageBuffer", (channel, message) => {
        const group = groups.get(channel.toString());
        if (group && !message.subarray(0, 8).equals(OWN)) {
            send(group, message.subarray(8), null);
        }
    });
}

new WebSocketServer({ host: "127.0.0.1", port: Number(port) }).on("connection", (socket, request) => {
    const name = request.url.slice(1);
    const group = enter(name, socket);
    socket.on("message", (data) => {
        send(group, data, socket);
        if (publisher) {
            publisher.publish(name, Buffer.concat([OWN, data]));
        }
    });
    socket.on("close", () => leave(name, group, socket));
    socket.on("error", () => {});
    group.ready.then(() => socket.send("joined"));
});
