# SPDX-License-Identifier: MIT
"""HAProxy."""

from lib.ports import free_port
from lib.process import Process

HEAD = """defaults
    mode http
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    option redispatch
    retries 3
frontend http
    bind 127.0.0.1:{port}
    default_backend nodes
backend nodes
    balance roundrobin
    option httpchk GET /readyz
    http-response set-header X-Node %s
"""
STREAM = """listen {name}
    mode tcp
    bind 127.0.0.1:{port}
    balance roundrobin
    option httpchk GET /readyz
"""
SERVER = "    server {name} 127.0.0.1:{port} check inter 300ms fall 1 rise 1 port {check}\n"


class HAProxy(Process):
    """Any; its configuration listens on `port`."""

    def __init__(self, name, folder):
        super().__init__(name, folder)
        self.port = free_port()
        self.config = self.folder / f"{name}.cfg"

    def start(self):
        self.launch(["haproxy", "-q", "-db", "-f", str(self.config)])
        return self

    def ws(self, path):
        return f"ws://{self.address}{path}"

    def stop(self):
        self.kill()


class Balancer(HAProxy):
    """Before nodes; its answers name the node in X-Node. `streams`: TCP services, name to the port on each node."""

    def __init__(self, folder, nodes, streams):
        super().__init__("haproxy", folder)
        self.stream_ports = {name: free_port() for name in streams}
        checks = [node.answer_ports()[0] for node in nodes]
        parts = [HEAD.format(port=self.port)]
        parts += [SERVER.format(name=node.name, port=node.port, check=check) for node, check in zip(nodes, checks)]
        for name, ports in streams.items():
            parts.append(STREAM.format(name=name, port=self.stream_ports[name]))
            parts += [SERVER.format(name=node.name, port=port, check=check)
                      for node, port, check in zip(nodes, ports, checks)]
        self.config.write_text("".join(parts))
