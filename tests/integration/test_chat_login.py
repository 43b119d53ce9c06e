# SPDX-License-Identifier: MIT
"""Who gets into the chat: real tokens, forged ones, keys from everywhere, and the account service when
it is well, slow, failing and wrong."""

import asyncio
import json
import time

import pytest

from lib.accounts import AccountService
from lib.chat import ChatClient
from lib.process import muster
from lib.tokens import Key, claims_of, raw_token, token_of
from lib.waiting import until, wait_until

INVALID = {"error": "the access token is expired or invalid"}
UNREADABLE = {"error": "error parsing the access token"}
UNAVAILABLE = {"error": "the account service is unavailable, please try again"}
CONNECTED = {"info": "connected"}


@pytest.fixture(scope="module")
def key():
    return Key()


@pytest.fixture
def service(yard):
    return yard.keep(AccountService()).start()


def logins(node, tokens):
    """The answers to each token, over one connection."""
    async def scene():
        client = await ChatClient.connect(node)
        answers = [await client.login(token) for token in tokens]
        client.vanish()
        return answers
    return asyncio.run(scene())


def who(node, token):
    """user_id and nickname that a message of this token's owner has."""
    async def scene():
        client = await ChatClient.member(node, token)
        await client.say("x")
        message = await client.next()
        client.vanish()
        return message["user_id"], message["nickname"]
    return asyncio.run(scene())


def test_a_failed_login_leaves_the_connection_for_another_try(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path))
    other = Key(kid="k1")
    now = int(time.time())
    bad = {
        "expired": key.token(exp=now - 60),
        "expires never": key.token(exp=None),
        "expires at no number": key.token(exp=None, **{"x": 1}),
        "not yet": key.token(nbf=now + 60),
        "wrong audience": key.token(aud="other"),
        "no audience": key.token(aud=None),
        "empty audience": key.token(aud=[]),
        "no subject": key.token(sub=None),
        "empty subject": key.token(sub=""),
        "long subject": key.token("x" * 129),
        "subject with a newline": key.token("a\nb"),
        "other key": other.token(),
    }
    answers = logins(node, [*bad.values(), key.token()])
    assert dict(zip(bad, answers)) == dict.fromkeys(bad, INVALID)
    assert answers[-1] == CONNECTED


def test_claims_that_are_no_times(yard, key, tmp_path):
    import jwt
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path))

    def signed(claims):
        return jwt.api_jws.encode(json.dumps(claims).encode(), key.private, algorithm="RS256")
    good = claims_of()
    tokens = [signed({**good, "exp": "2099"}), signed({**good, "exp": None}), signed({**good, "exp": -5}),
              signed({**good, "nbf": "x"}), signed({**good, "sub": 5}), signed([]), signed("x"),
              signed({**good, "exp": 1e300}), signed({**good, "exp": time.time() + 5.5})]
    assert logins(node, tokens) == [INVALID] * 5 + [UNREADABLE] * 2 + [CONNECTED] * 2


def test_audiences_in_a_list_and_times_within_the_leeway(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path), chat_jwt_leeway="30s")
    now = int(time.time())
    good = [key.token(aud=["x", "heavenland-api"]), key.token(exp=now - 10), key.token(nbf=now + 10)]
    bad = [key.token(aud=["x", 5]), key.token(exp=now - 40), key.token(nbf=now + 60)]
    assert logins(node, good) == [CONNECTED] * 3
    assert logins(node, bad) == [INVALID] * 3


def test_forged_tokens(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path))
    import hashlib
    import hmac
    from lib.base64url import b64
    head, body, signature = key.token().split(".")

    def hs256(secret):
        text = b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode()) + "." + body
        return text + "." + b64(hmac.new(secret, text.encode(), hashlib.sha256).digest())
    other_body = b64(json.dumps(claims_of("admin")).encode())
    refused = [
        raw_token({"alg": "none"}, claims_of(), b""), raw_token({"alg": "none"}, claims_of()),
        raw_token({"alg": "None"}, claims_of(), b""),
        hs256(key.pem()), hs256(key.pem().strip()), hs256(b""),  # key confusion
        f"{head}.{other_body}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA", f"{head}.{body}.",
        raw_token({"alg": "RS512"}, claims_of()), raw_token({"alg": "ES256"}, claims_of()),
        raw_token({"alg": "PS256"}, claims_of()),
    ]
    unreadable = [
        "x", "..", "a.b.c", head, f"{head}.{body}", f"{head}.{body}.{signature}.x", f"{head}.{body}.!!!",
        f"{head} .{body}.{signature}", raw_token(b"{", claims_of()), raw_token([], claims_of()),
        raw_token({"alg": 5}, claims_of()), raw_token({}, claims_of()),
        raw_token({"alg": "RS256", "crit": ["b64"], "b64": False}, claims_of()),
        raw_token(b"\xff\xff", claims_of()), "A" * 100000,
    ]
    assert logins(node, refused) == [INVALID] * len(refused)
    assert logins(node, unreadable) == [UNREADABLE] * len(unreadable)


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_key_files(yard, tmp_path, algorithm):
    mine = Key(algorithm)
    node = yard.node(chat_jwt_key=mine.pem_file(tmp_path))
    other = Key("ES256" if algorithm != "ES256" else "ES384")
    assert logins(node, [other.token(), token_of(mine.private, algorithm), mine.token()]) == [INVALID, CONNECTED, CONNECTED]


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_keys_of_a_set(yard, tmp_path, algorithm):
    mine = Key(algorithm, "mine")
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [{"kty": "oct", "k": "AAAA", "kid": "sym"}, {"kty": "OKP", "crv": "Ed25519"}, 7,
                                         Key("RS256", "other").jwk(), mine.jwk()]}))
    node = yard.node(chat_jwks=path)
    symmetric = token_of(b"\x00\x00\x00", "HS256", kid="sym")
    assert logins(node, [mine.token(), symmetric]) == [CONNECTED, INVALID]


def test_a_secret(yard, key):
    secret = "a secret that is long enough to be one"
    node = yard.node(env={"MUSTER_CHAT_JWT_SECRET": secret})
    tokens = [token_of(secret, "HS256"), token_of(secret + "x", "HS256"), token_of(secret, "HS512"), key.token()]
    assert logins(node, tokens) == [CONNECTED, INVALID, INVALID, INVALID]


def test_issuer_audience_and_nickname_claim(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path), chat_jwt_issuer="https://id.example", chat_jwt_audience="",
                     chat_nickname_claim="preferred_username")
    assert logins(node, [key.token(), key.token(iss="other"), key.token(iss=5)]) == [INVALID] * 3
    good = {"iss": "https://id.example", "aud": None}
    assert who(node, key.token("u1", preferred_username="Žofie", **good)) == ("u1", "Žofie")
    assert who(node, key.token("u2", **good)) == ("u2", "u2")
    assert who(node, key.token("u3", preferred_username="\x00\n", **good)) == ("u3", "u3")
    assert who(node, key.token("u4", preferred_username="é" * 200, **good)) == ("u4", "é" * 128)


def test_no_key_at_all(yard, key):
    node = yard.node()
    assert "error" in logins(node, [key.token()])[0]


@pytest.mark.parametrize("name, content", [("chat_jwt_key", b"nonsense"), ("chat_jwt_key", None),
                                           ("chat_jwks", b"{"), ("chat_jwks", b'{"keys": []}'), ("chat_jwks", None)])
def test_files_that_are_wrong_end_the_start(tmp_path, name, content):
    path = tmp_path / "file"
    if content is not None:
        path.write_bytes(content)
    ended = muster("node", "--http", "127.0.0.1:0", "--" + name.replace("_", "-"), str(path))
    assert ended.returncode == 2 and str(path) in ended.stderr and "--" + name.replace("_", "-") in ended.stderr
    checked = muster("check", "--" + name.replace("_", "-"), str(path))
    assert checked.returncode == 2 and str(path) in checked.stdout


# ------------------------------------------------------------------------------------ key sets


def test_a_set_is_fetched_and_fetched_anew_for_an_unknown_key(yard, service):
    old, new = Key("RS256", "old"), Key("ES256", "new")
    service.jwks = {"keys": [old.jwk()]}
    node = yard.node(chat_jwks=service.url + "/jwks", chat_jwks_pause="100ms")
    assert logins(node, [old.token()]) == [CONNECTED]
    assert logins(node, [old.token()] * 5) == [CONNECTED] * 5
    assert service.count("/jwks") == 1
    service.jwks = {"keys": [new.jwk()]}
    wait_until(lambda: logins(node, [new.token()]) == [CONNECTED], "the new key is known")
    assert logins(node, [old.token()]) == [INVALID]
    service.jwks = {"keys": []}  # a broken set does not drive out a good one
    logins(node, [old.token()])
    assert logins(node, [new.token()]) == [CONNECTED]


def test_made_up_key_ids_do_not_reach_the_provider(yard, service, key):
    service.jwks = {"keys": [key.jwk()]}
    node = yard.node(chat_jwks=service.url + "/jwks", chat_jwks_pause="1h")
    assert logins(node, [key.token()]) == [CONNECTED]
    forged = [Key("ES256", f"made up {i}").token() for i in range(20)]
    assert logins(node, forged) == [INVALID] * 20
    assert service.count("/jwks") == 1


async def test_many_logins_wait_for_one_fetch(yard, service, key):
    service.jwks = {"keys": [key.jwk()]}

    def hold(method, path, authorization, body):
        service.release.wait(10)
        return service.well(method, path, authorization, body)
    service.behave = hold
    node = yard.node(chat_jwks=service.url + "/jwks")
    clients = [await ChatClient.connect(node) for _ in range(20)]
    for client in clients:
        await client.send({"action": "login", "token": key.token()})
    assert await clients[0].ask(action="login", token="again") == {"error": "a login is under way, please wait"}
    clients[1].vanish()
    service.release.set()
    for client in clients[2:]:
        assert await client.next() == CONNECTED
    assert service.count("/jwks") == 1


def test_keys_that_cannot_be_had(yard, service, key):
    service.behave = lambda *request: (500, {})
    node = yard.node(chat_jwks=service.url + "/jwks", chat_jwks_pause="100ms")
    assert "cannot be fetched, please try again" in logins(node, [key.token()])[0]["error"]
    service.jwks = {"keys": [key.jwk()]}
    service.behave = service.well
    wait_until(lambda: logins(node, [key.token()]) == [CONNECTED], "the keys come")


def test_a_set_in_a_file_is_read_anew(yard, key, tmp_path):
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": [Key("ES256", "old").jwk()]}))
    node = yard.node(chat_jwks=path, chat_jwks_pause="100ms")
    assert logins(node, [key.token()]) == [INVALID]
    path.write_text(json.dumps({"keys": [key.jwk()]}))
    wait_until(lambda: logins(node, [key.token()]) == [CONNECTED], "the new key is known")


def test_a_key_that_was_removed_is_not_believed_after_a_quiet_time(yard, service):
    old, new = Key("ES256", "old"), Key("ES256", "new")
    service.jwks = {"keys": [old.jwk(), new.jwk()]}
    node = yard.node(chat_jwks=service.url + "/jwks", chat_jwks_refresh="1s", chat_jwks_pause="100ms")
    assert logins(node, [old.token()]) == [CONNECTED]
    service.jwks = {"keys": [new.jwk()]}
    time.sleep(1.2)  # nobody logs in while the set grows old
    assert logins(node, [old.token(), new.token()]) == [INVALID, CONNECTED]
    assert service.count("/jwks") == 2, "at the start, and before the judgement"


def test_a_key_replaced_under_its_id_counts_at_the_first_login(yard, service):
    old, new = Key("RS256", "same"), Key("EdDSA", "same")
    service.jwks = {"keys": [old.jwk()]}
    node = yard.node(chat_jwks=service.url + "/jwks", chat_jwks_pause="100ms")
    assert logins(node, [old.token()]) == [CONNECTED]
    service.jwks = {"keys": [new.jwk()]}
    time.sleep(0.2)  # the pause after the fetch at the start
    assert logins(node, [new.token(), old.token()]) == [CONNECTED, INVALID]


def test_an_old_set_counts_while_the_provider_is_away(yard, service, key):
    service.jwks = {"keys": [key.jwk()]}
    node = yard.node(chat_jwks=service.url + "/jwks", chat_jwks_refresh="1s", chat_jwks_pause="100ms")
    assert logins(node, [key.token()]) == [CONNECTED]
    service.behave = lambda *request: (500, {})
    time.sleep(1.2)
    assert logins(node, [key.token()]) == [CONNECTED]


@pytest.mark.parametrize("setting", ["chat_jwt_key", "chat_jwks"])
def test_a_key_file_that_changes_is_read_again(yard, setting, tmp_path):
    old, new = Key("ES256", "k1"), Key("EdDSA", "k1")
    path = tmp_path / "keys"

    def put(key):
        path.write_bytes(key.pem() if setting == "chat_jwt_key" else json.dumps({"keys": [key.jwk()]}).encode())
    put(old)
    node = yard.node(**{setting: path})
    assert logins(node, [old.token(), new.token()]) == [CONNECTED, INVALID]
    put(new)
    wait_until(lambda: logins(node, [new.token()]) == [CONNECTED], "the new key is known")
    assert logins(node, [old.token()]) == [INVALID]
    path.write_bytes(b"nonsense")
    wait_until(lambda: logins(node, [new.token()]) and "login keys cannot be read" in node.log(), "it says what is wrong")
    assert logins(node, [new.token()]) == [CONNECTED]


def test_a_token_secret_in_a_file_that_changes(yard, tmp_path):
    path, old, new = tmp_path / "secret", "o" * 32, "n" * 33
    path.write_text(old)
    node = yard.node(env={"MUSTER_CHAT_JWT_SECRET_FILE": str(path)})
    assert logins(node, [token_of(old, "HS256"), token_of(new, "HS256")]) == [CONNECTED, INVALID]
    path.write_text(new)
    wait_until(lambda: logins(node, [token_of(new, "HS256")]) == [CONNECTED], "the new secret counts")
    assert logins(node, [token_of(old, "HS256")]) == [INVALID]


# ----------------------------------------------------------------------------- account service


@pytest.fixture
def fleet_settings(key, tmp_path, service):
    return {"chat_jwt_key": key.pem_file(tmp_path), "chat_account_url": service.url}


def test_the_nickname_comes_from_the_account_service(yard, key, service, fleet_settings):
    node = yard.node(**fleet_settings)
    token = key.token("HL/../5 é")
    assert who(node, token) == ("HL/../5 é", "Hero HL/../5 é")
    assert service.requests == [("GET", "/idm/accounts/HL%2F..%2F5%20%C3%A9", f"Bearer {token}", b"")]
    assert who(node, token) == ("HL/../5 é", "Hero HL/../5 é")
    assert len(service.requests) == 1  # known for a while
    assert logins(node, [key.token("HL2", exp=1)]) == [INVALID]
    assert len(service.requests) == 1  # and nobody asks for a bad token


def test_the_nickname_is_asked_for_again_after_a_while(yard, key, service, fleet_settings):
    node = yard.node(chat_account_cache="100ms", **fleet_settings)
    assert who(node, key.token())[1] == "Hero HL1"
    service.behave = lambda *request: (200, {"nickname": "Renamed"})
    wait_until(lambda: who(node, key.token())[1] == "Renamed", "the new nickname is seen")


@pytest.mark.parametrize("answer, expected", [
    ((404, {"errorMessage": "no such account"}), {"error": "no such account"}),
    ((403, {"message": "banned until\nmonday", "error": "x"}), {"error": "banned until\nmonday"}),
    ((400, {"message": ["first", "second"]}), {"error": "first"}),
    ((500, {"errorMessage": "the database is on fire"}), {"error": "the database is on fire"}),
    ((400, {}), {"error": "bad request"}),
    ((404, b"<html>"), {"error": "bad request"}),
    ((302, b""), {"error": "bad request"}),
    ((500, b"oops"), UNAVAILABLE),
    ((503, {}), UNAVAILABLE),
    ((200, b"not json"), UNAVAILABLE),
    ((200, b""), UNAVAILABLE),
    ((200, []), UNAVAILABLE),
    ((200, b"[" * 60000), UNAVAILABLE),
    ((200, b"{" + b" " * 70000 + b"}"), UNAVAILABLE),
    ((400, {"message": "x" * 10000}), {"error": "x" * 299}),
    (None, UNAVAILABLE),
])
def test_an_account_service_that_fails(yard, key, service, fleet_settings, answer, expected):
    node = yard.node(**fleet_settings)
    service.behave = lambda *request: answer
    assert logins(node, [key.token()]) == [expected]
    service.behave = service.well
    assert logins(node, [key.token()]) == [CONNECTED]


def test_an_account_without_a_nickname(yard, key, service, fleet_settings):
    node = yard.node(**fleet_settings)
    service.behave = lambda *request: (200, {"nickname": None})
    assert who(node, key.token("HL9")) == ("HL9", "HL9")


def test_no_account_service_there(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path), chat_account_url="http://127.0.0.1:1")
    assert logins(node, [key.token()]) == [UNAVAILABLE]


async def test_a_slow_account_service_holds_up_nobody(yard, key, service, fleet_settings):
    node = yard.node(chat_account_timeout="1s", chat_account_parallel=4, **fleet_settings)
    known = key.token("known")

    def hold(*request):
        service.release.wait(20)
        return service.well(*request)

    chatter = await ChatClient.member(node, known)
    service.behave = hold
    waiting = [await ChatClient.connect(node) for _ in range(12)]
    begin = time.monotonic()
    for i, client in enumerate(waiting):
        await client.send({"action": "login", "token": key.token(f"slow{i}")})
    await until(lambda: service.open == 4, "four requests are under way")
    worst = 0
    for i in range(20):
        sent = time.monotonic()
        await chatter.say(str(i))
        await chatter.next()
        worst = max(worst, time.monotonic() - sent)
    assert worst < 0.5
    assert service.most_open == 4
    for client in waiting:
        assert await client.next() == UNAVAILABLE
    assert 0.9 < time.monotonic() - begin < 5
    service.release.set()
    service.behave = service.well
    await until(lambda: service.open == 0, "the held ones are done")
    assert await waiting[0].login(key.token("slow0")) == CONNECTED


async def test_more_logins_than_places_all_get_theirs(yard, key, service, fleet_settings):
    node = yard.node(chat_account_parallel=3, **fleet_settings)
    clients = [await ChatClient.connect(node) for _ in range(60)]
    for i, client in enumerate(clients):
        await client.send({"action": "login", "token": key.token(f"u{i}")})
    for client in clients:
        assert await client.next() == CONNECTED
    assert service.most_open <= 3 and service.count("/idm/accounts/") == 60


async def test_clients_that_leave_while_their_login_waits(yard, key, service, fleet_settings):
    node = yard.node(chat_account_parallel=2, **fleet_settings)

    def hold(*request):
        service.release.wait(20)
        return service.well(*request)
    service.behave = hold
    for i in range(10):
        client = await ChatClient.connect(node)
        await client.send({"action": "login", "token": key.token(f"u{i}")})
        await client.send({"action": "x"})
        await client.next()
        client.vanish()
    await until(lambda: node.metrics()["muster_chat_connections"] == 0, "they are gone")
    service.release.set()
    last = await ChatClient.connect(node)
    assert await last.login(key.token("last")) == CONNECTED


async def test_a_node_ends_while_logins_wait(yard, key, service, fleet_settings):
    node = yard.node(**fleet_settings)
    service.behave = lambda *request: service.release.wait(20) and None
    client = await ChatClient.connect(node)
    await client.send({"action": "login", "token": key.token()})
    await until(lambda: service.open == 1, "the request is under way")
    node.term()
    assert await client.closed() == 1001


# ------------------------------------------------------------------------------------ password


async def test_login_with_a_password(yard, key, service, fleet_settings):
    node = yard.node(chat_login_url=service.url, **fleet_settings)
    service.tokens = {("ann", "s3cret"): key.token("HL7"), ("eve", "x"): Key().token("HL7"), ("old", "x"): key.token(exp=1)}
    client = await ChatClient.connect(node)
    assert await client.ask(action="login", username="ann", password="no") == {"error": "invalid credentials"}
    assert await client.ask(action="login", username="eve", password="x") == INVALID
    assert await client.ask(action="login", username="old", password="x") == INVALID
    assert await client.ask(action="login", username="ann", password="s3cret") == CONNECTED
    await client.say("x")
    message = await client.next()
    assert (message["user_id"], message["nickname"]) == ("HL7", "Hero HL7")
    service.behave = lambda *request: (500, b"")
    assert await client.ask(action="login", username="ann", password="s3cret") == UNAVAILABLE
    service.behave = lambda *request: (200, {"refreshToken": "x"})
    assert await client.ask(action="login", username="ann", password="s3cret") == {"error": "invalid credentials"}
    await client.say("who I was")
    assert (await client.next())["user_id"] == "HL7"


# -------------------------------------------------------------------------------------- expiry


async def test_a_session_ends_with_its_token(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path))
    client, other = await ChatClient.connect(node), await ChatClient.member(node, key.token("other"))
    end = time.time() + 2
    assert await client.login(key.token(exp=int(end))) == CONNECTED
    await client.say("x")
    assert (await client.next())["message"] == "x"
    assert "expired" in (await client.next())["error"]
    assert time.time() >= int(end)
    assert await client.ask(action="message", message="y") == {"error": "you need to authenticate first"}
    await other.say("not for those who are out")
    await other.texts(2)
    assert await client.login(key.token()) == CONNECTED
    await client.say("back")
    assert (await client.next())["message"] == "back"


async def test_a_new_token_goes_on_with_the_session(yard, key, tmp_path):
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path), chat_close_at_exp="on")
    client, other = await ChatClient.connect(node), await ChatClient.connect(node)
    end = int(time.time()) + 2
    assert await client.login(key.token(exp=end)) == await other.login(key.token(exp=end)) == CONNECTED
    assert await client.login(key.token()) == CONNECTED
    assert await other.closed() == 1008  # the setting closes it
    await client.say("x")
    assert (await client.next())["message"] == "x"


def test_the_log_says_why_tokens_are_refused_and_is_not_filled(yard, key, tmp_path):
    """At the level that is on by default; anybody may send tokens as fast as they can."""
    node = yard.node(chat_jwt_key=key.pem_file(tmp_path), chat_jwt_audience="games")
    assert logins(node, [key.token(aud="others")] * 200) == [INVALID] * 200
    lines = [line for line in node.log().splitlines() if "token refused" in line]
    assert lines and "info" in lines[0] and "audience" in lines[0]
    assert len(lines) < 30, "one a second at most"
