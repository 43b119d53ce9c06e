# SPDX-License-Identifier: MIT
"""Clients of /chat and /minigame."""

import json

from lib.sync import SyncClient


class ChatClient(SyncClient):
    """Reads JSON objects; `seen` keeps them."""

    path = "/chat"

    @classmethod
    async def member(cls, node, token, **options):
        """Connected and logged in."""
        client = await cls.connect(node, **options)
        assert await client.login(token) == {"info": "connected"}
        return client

    async def next(self, deadline=20.0):
        message = json.loads(await self.receive(deadline))
        self.seen.append(message)
        return message

    async def ask(self, **request):
        await self.send(request)
        return await self.next()

    async def login(self, token):
        return await self.ask(action="login", token=token)

    async def say(self, text, **more):
        await self.send({"action": "message", "message": text, **more})

    async def texts(self, count, deadline=60.0):
        """The texts of the next `count` messages."""
        return [(await self.next(deadline))["message"] for _ in range(count)]

    async def history(self, **request):
        answer = await self.ask(action="history", **request)
        return answer["history"] if "history" in answer else answer

    async def quiet(self):
        """True when nothing is on its way to it: a request is answered first."""
        answer = await self.ask(action="nothing of the kind")
        return "error" in answer and answer["error"].startswith("unknown action")


class MinigameClient(ChatClient):
    path = "/minigame"
