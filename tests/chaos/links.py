# SPDX-License-Identifier: MIT
"""What a client may say of its way to a node through the proxies."""


class Visit:
    """One client's way to a node, and whether anything on it gave the client a reason to be disconnected."""

    def __init__(self, world, number, how):
        self.world, self.number, self.how = world, number, how
        self.before, self.hurting = dict(world.harmed), set(world.hurting)
        node, door = world.nodes[number], world.doors[number] if world.doors else None
        self.place = {"straight": node, "door": door, "balanced": world.front or world.balancer}[how]
        self.harmable = {"straight": [node.name], "door": [node.name, f"door {number}"], "balanced": ["front"]}[how]

    def ws(self, path):
        return self.place.ws(path)

    def port(self, service):
        """Of a TCP service, as a play's streams() names it."""
        return self.world.service_port(service, self.number, self.how)

    def arrived(self, headers):
        """The balancer's answer names the node."""
        if self.how == "balanced" and "X-Node" in headers:
            self.harmable.append(headers["X-Node"])

    def where(self):
        return f"{'+'.join(self.harmable)}"

    def excused(self):
        """Something was done to the node or to the way, when the client set out or since."""
        return any(name in self.hurting or self.world.harmed.get(name) != self.before.get(name)
                   for name in self.harmable)
