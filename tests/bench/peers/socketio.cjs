// SPDX-License-Identifier: MIT
// usage: socketio.cjs PORT [REDIS_PORT]   rooms on Socket.IO: "join" a room, "push" to the others in it
"use strict";
const { createServer } = require("http");
const { Server } = require("socket.io");

async function main([port, redisPort]) {
    const server = createServer();
    const io = new Server(server);
    if (redisPort) {
        const { createClient } = require("redis");
        const { createShardedAdapter } = require("@socket.io/redis-adapter");
        const publisher = createClient({ url: `redis://127.0.0.1:${redisPort}` });
        const subscriber = publisher.duplicate();
        await Promise.all([publisher.connect(), subscriber.connect()]);
        io.adapter(createShardedAdapter(publisher, subscriber));
    }
    // "Discard the initial HTTP request", its page on memory and performance says.
    io.engine.on("connection", (socket) => { socket.request = null; });
    io.on("connection", (socket) => {
        socket.on("join", (room) => { socket.join(room); socket.emit("joined"); });
        socket.on("push", (room, data) => { socket.to(room).emit("push", data); });
    });
    server.listen(Number(port), "127.0.0.1");
}

main(process.argv.slice(2));
