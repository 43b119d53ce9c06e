# SPDX-License-Identifier: MIT
"""Base64url as tokens have it: without padding."""

import base64


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
