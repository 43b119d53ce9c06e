# SPDX-License-Identifier: MIT
"""Our tokens against PyJWT: of the same tokens, mutated in their bytes or in what they claim, we take none that PyJWT
refuses, say the same subject, and refuse of those that PyJWT takes only what is refused for a reason that stands here."""

import base64
import json
import time

import jwt
import pytest

from lib.base64url import b64
from lib.tokens import Key
from second.mutations import Mutator
from second.programs import answers, program

AUDIENCE, ISSUER = "game", "https://login.example"
BYTES, CLAIMS = 2500, 2500
WORDS = [b".", b"=", b"==", b"-", b"_", b"+", b"/", b" ", b"\n", b"A", b"eyJhbGciOiJub25lIn0", b"e30", b"..", b"\x00", b"\xff"]
ODD = [None, "", "x", AUDIENCE, ISSUER, [], [AUDIENCE], ["a", AUDIENCE], [1], {}, {"a": 1}, 0, 1, -1, 1.5, True, False, "1", 1e300,
       2**53, 2**63, 2**64, 10**400, "x" * 127, "x" * 128, "x" * 129, "n\u0000", "\ud83d\ude00", "\u00e9" * 64]
NAMES = ["sub", "aud", "iss", "exp", "nbf", "iat", "nick", "jti"]


def good_claims():
    now = int(time.time())
    return {"sub": "user", "aud": AUDIENCE, "iss": ISSUER, "exp": now + 3600, "nbf": now - 60, "iat": now - 60, "nick": "Nick"}


def odd_claims(chance):
    claims, now = good_claims(), int(time.time())
    for _ in range(chance.choice((1, 1, 2, 3))):
        name, kind = chance.choice(NAMES), chance.randrange(4)
        if kind == 0:
            claims.pop(name, None)
        elif kind == 1 and name in ("exp", "nbf", "iat"):
            claims[name] = now + chance.choice((-10**6, -7200, -60, 60, 7200, 10**6, 0.5))
        else:
            claims[name] = chance.choice(ODD)
    return claims


def odd_headers(chance, key):
    header = {"alg": key.algorithm, "typ": "JWT"}
    if chance.randrange(4) == 0:
        header[chance.choice(["alg", "typ", "kid", "crit", "zip", "b64", "jku"])] = chance.choice(
            [*ODD, "none", "None", "HS256", "RS256", "ES256", "EdDSA", ["exp"], key.kid])
    return header


def signed(key, header, claims):
    """By the key's algorithm, whatever the header says."""
    text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
    algorithm = jwt.get_algorithm_by_name(key.algorithm)
    return f"{text}.{b64(algorithm.sign(text.encode(), key.private))}".encode()


def theirs(key, token):
    """PyJWT's claims, or why it refuses. When a token was made is not judged: clocks differ, and nothing hangs on it."""
    try:
        return jwt.decode(token.decode("latin-1"), key.private.public_key(), algorithms=[key.algorithm], audience=AUDIENCE,
                          issuer=ISSUER, options={"require": ["exp"], "verify_iat": False}), None
    except Exception as error:  # what it throws over odd bytes is not all its own
        return None, error


def canonical(part):
    """Base64url as RFC 7515 has it: no padding, no other characters, no bits left over. PyJWT passes over them."""
    try:
        return b64(base64.b64decode(part + b"=" * (-len(part) % 4), b"-_", validate=True)).encode() == part
    except ValueError:
        return False


def says_unencoded(token):
    return json.loads(base64.urlsafe_b64decode(token.split(b".")[0] + b"==")).get("b64") is not None


def excuse(token, claims):
    """Why we refuse what PyJWT takes; None: there is no reason."""
    header = json.loads(base64.urlsafe_b64decode(token.split(b".")[0] + b"=="))
    subject = claims.get("sub")
    if not all(map(canonical, token.split(b"."))):
        return "base64url"
    if not isinstance(subject, str) or not 0 < len(subject.encode("utf-8", "replace")) <= 128 or "\0" in subject:
        return "no subject that could be a name"
    if "crit" in header or not isinstance(header.get("kid", ""), str) or "b64" in header:
        return "a header that must be understood (RFC 7515, 4.1.11), or is malformed"
    for name in ("exp", "nbf"):
        if name in claims and (isinstance(claims[name], (bool, str)) or not isinstance(claims[name], (int, float))):
            return "a time that is no number"
    if "exp" in claims and abs(claims["exp"]) >= 2**53:
        return "a time beyond all clocks"
    return None


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_what_we_take_pyjwt_takes(algorithm, tmp_path):
    key = Key(algorithm)
    mutator = Mutator(20, WORDS)
    chance = mutator.random
    plain = signed(key, {"alg": algorithm, "typ": "JWT"}, good_claims())
    tokens = [plain] + [mutator.some(plain) for _ in range(BYTES)]
    tokens += [signed(key, odd_headers(chance, key), odd_claims(chance)) for _ in range(CLAIMS)]
    ours = answers([program("jwt"), str(key.pem_file(tmp_path)), AUDIENCE, ISSUER], tokens)
    assert len(ours) == len(tokens) and ours[0].startswith("good")
    taken = refused = 0
    wrong = []
    for token, line in zip(tokens, ours):
        claims, error = theirs(key, token)
        if line.startswith("good"):
            taken += 1
            if claims is None and says_unencoded(token):
                continue  # RFC 7797, 6: without "crit" it means nothing to a reader that does not know it
            if claims is None or bytes.fromhex(line.split()[1]).decode() != claims["sub"]:
                wrong.append((f"we take what PyJWT refuses ({error!r})", token, claims))
        elif claims is not None:
            refused += 1
            if not excuse(token, claims):
                wrong.append((f"{line}, and PyJWT takes it", token, claims))
    print(f"{algorithm}: of {len(tokens)} tokens both take {taken}, PyJWT alone {refused}")
    assert not wrong, wrong[:10]
    assert taken > 50, "too few good ones to say anything"
