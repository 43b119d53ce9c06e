# SPDX-License-Identifier: MIT
"""Centrifugo: a Go module. Its documentation's defaults; its Redis engine where several are one service."""
import json
import re

from .peer import Peer, Server, go_program, run

MODULE = "github.com/centrifugal/centrifugo/v6"


class Centrifugo(Peer):
    name, dialect = "Centrifugo", "centrifugo"
    channels = {}  # what its channels have, beside what clients may do

    def install(self, shelf):
        self.program = go_program(shelf, MODULE, "centrifugo")

    def version(self):
        return re.search(r"\d+\.\d+\.\d+", run(["go", "version", "-m", self.program], "go version").split(f"{MODULE}\t", 1)[1])[0]

    def files(self):
        return [self.program]

    def server(self, bench, redis=None, number=0, ports=()):
        port = ports[number]
        config = {
            "http_server": {"address": "127.0.0.1", "port": str(port)},
            "client": {"insecure": True, "allowed_origins": ["*"]},
            "channel": {"without_namespace": {
                "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True, "allow_publish_for_client": True,
                "allow_publish_for_anonymous": True, **self.channels}},
            "log": {"level": "error"},
        }
        if redis is not None:
            config["engine"] = {"type": "redis", "redis": {"address": [f"redis://{redis.address}"]}}
        path = bench.place("centrifugo") / "config.json"
        path.write_text(json.dumps(config))
        return Server(f"centrifugo-{port}", path.parent, [self.program, "--config", path], port)


class CentrifugoPresence(Centrifugo):
    """As a Muster session has it: who is in the channel is known, and all are told who comes and goes."""

    name, fanout = "Centrifugo with presence", False
    channels = {"presence": True, "join_leave": True, "force_push_join_leave": True}
