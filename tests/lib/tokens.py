# SPDX-License-Identifier: MIT
"""Keys, and chat tokens that they sign."""

import json
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from lib.base64url import b64

AUDIENCE = "heavenland-api"


def number_b64(number, size=None):
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))


class Key:
    """A key pair with a key id, that signs tokens."""

    def __init__(self, algorithm="RS256", kid="k1"):
        self.algorithm, self.kid = algorithm, kid
        curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
        if algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        elif algorithm in curves:
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
        common = {"kid": self.kid, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "EdDSA":
            raw = self.private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **common}
        numbers = self.private.public_key().public_numbers()
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
