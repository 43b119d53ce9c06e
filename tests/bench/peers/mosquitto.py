# SPDX-License-Identifier: MIT
"""Mosquitto: from Debian. MQTT 3.1.1 over TCP, its first transport, QoS 0, nothing kept; several brokers are no service: a
bridge would send each all that is said."""

from .peer import Peer, Server, debian_env, debian_folder, debian_version

PACKAGE = "mosquitto"
CONFIG = """listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
log_dest stderr
log_type error
user root
"""


class Mosquitto(Peer):
    name, dialect, fleet, redis = "Mosquitto", "mqtt", False, False

    def install(self, shelf):
        self.shelf = shelf
        self.program = debian_folder(shelf, PACKAGE) / "usr/sbin/mosquitto"

    def version(self):
        return debian_version(self.shelf, PACKAGE)

    def files(self):
        return [self.program]

    def server(self, bench, redis=None, number=0, ports=()):
        folder = bench.place("mosquitto")
        (folder / "conf").write_text(CONFIG.format(port=ports[number]))
        return Server(f"mosquitto-{ports[number]}", folder, [self.program, "-c", folder / "conf"], ports[number], debian_env())
