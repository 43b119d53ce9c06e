"""Clients of /chat and /minigame, real tokens, and the account service of an operator."""

import asyncio
import base64
import http.server
import json
import threading
import time
import urllib.parse

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from clients import SyncClient

AUDIENCE = "heavenland-api"


def run(coroutine):
    """Plays a scene to its end; clients that are left are gone then."""
    async def play():
        try:
            return await coroutine
        finally:
            for client in ChatClient.opened:
                client.vanish()
            ChatClient.opened.clear()
    return asyncio.run(play())


class ChatClient(SyncClient):
    """Reads JSON objects; `seen` keeps them."""

    opened = []

    @classmethod
    async def connect(cls, node, path="/chat", **options):
        client = await super().connect(node, path, **options)
        ChatClient.opened.append(client)
        return client

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
    @classmethod
    async def connect(cls, node, path="/minigame", **options):
        return await super().connect(node, path, **options)


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number_b64(number, size=None):
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


class Key:
    """A key pair with a key id, that signs tokens."""

    def __init__(self, algorithm="RS256", kid="k1"):
        self.algorithm, self.kid = algorithm, kid
        curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
        if algorithm in curves:
            self.private = ec.generate_private_key(curves[algorithm]())
        else:
            self.private = rsa.generate_private_key(65537, 2048)

    def pem(self):
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def pem_file(self, folder):
        path = folder / f"{self.kid}.pem"
        path.write_bytes(self.pem())
        return path

    def jwk(self):
        numbers = self.private.public_key().public_numbers()
        common = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self.algorithm.startswith("ES"):
            size = (self.private.curve.key_size + 7) // 8
            return {"kty": "EC", "crv": f"P-{self.private.curve.key_size}", "x": number_b64(numbers.x, size),
                    "y": number_b64(numbers.y, size), **common}
        return {"kty": "RSA", "n": number_b64(numbers.n), "e": number_b64(numbers.e), **common}

    def token(self, user="HL1", **changes):
        return token_of(self.private, self.algorithm, user, self.kid, **changes)


def claims_of(user="HL1", **changes):
    """Good claims; a change to None leaves one out."""
    now = int(time.time())
    claims = {"sub": user, "aud": AUDIENCE, "exp": now + 600, "iat": now, **changes}
    return {name: value for name, value in claims.items() if value is not None}


def token_of(key, algorithm, user="HL1", kid=None, **changes):
    return jwt.encode(claims_of(user, **changes), key, algorithm=algorithm,
                      headers={"kid": kid} if kid is not None else None)


def raw_token(header, claims, signature=b"x"):
    """A token with any header and signature."""
    def part(value):
        return b64(value if isinstance(value, bytes) else json.dumps(value).encode())
    return ".".join([part(header), part(claims), b64(signature) if signature else ""])


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 200


class AccountService:
    """The operator's account service. `behave` may be replaced: it gets the request and returns
    (status, object or bytes), or None to say nothing at all."""

    def __init__(self):
        self.requests = []  # (method, path, authorization, body)
        self.lock = threading.Lock()
        self.open, self.most_open = 0, 0
        self.behave = self.well
        self.jwks = {"keys": []}
        self.tokens = {}  # (username, password): access token
        self.release = threading.Event()
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                service.serve(self)

            do_GET = do_POST = serve

            def log_message(self, *args):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()

    def serve(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        request = (handler.command, handler.path, handler.headers.get("Authorization"), body)
        with self.lock:
            self.requests.append(request)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
        try:
            answer = self.behave(*request)
        finally:
            with self.lock:
                self.open -= 1
        if answer is None:
            handler.close_connection = True
            return
        status, content = answer
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        try:
            handler.send_response(status)
            handler.send_header("Content-Type", "application/json")
            handler.send_header("Content-Length", str(len(data)))
            handler.end_headers()
            handler.wfile.write(data)
        except OSError:
            pass

    def well(self, method, path, authorization, body):
        if path == "/jwks":
            return 200, self.jwks
        if method == "GET" and path.startswith("/idm/accounts/"):
            user = urllib.parse.unquote(path.removeprefix("/idm/accounts/"))
            return 200, {"id": user, "nickname": f"Hero {user}"}
        if path == "/idm/auth/login":
            login = json.loads(body)
            assert login["type"] == "credentials" and login["clientType"] == "game"
            if (login["username"], login["password"]) in self.tokens:
                return 200, {"refreshToken": {"value": f"{login['username']}|{login['password']}"}}
            return 401, {"statusCode": 401}
        if path == "/idm/auth/access-token":
            name = tuple(json.loads(body)["refreshToken"].split("|"))
            return 200, {"accessToken": {"value": self.tokens[name]}}
        return 404, {"errorMessage": "no such thing"}

    def count(self, prefix):
        with self.lock:
            return sum(path.startswith(prefix) for _, path, _, _ in self.requests)
