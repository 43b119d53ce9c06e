# SPDX-License-Identifier: MIT
"""The account service of an operator, as chat asks it."""

import http.server
import json
import threading
import urllib.parse


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
