# SPDX-License-Identifier: MIT
"""Requests, and words that change how they are read."""

SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /?a=b&c HTTP/1.1\r\nHost: a\r\nX: 1\r\nx:2\r\nAccept: text/html \r\n\r\nGET / HTTP/1.1\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /?next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /?next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n1F\r\n" + b"x" * 31
    + b"\r\n0\r\nTrailer: t\r\n\r\nGET /?next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\nGET /?inner HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"\r\nDELETE / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://b/?x HTTP/1.1\r\nHost: a\r\n\r\nGET https://[::1]:8443/ HTTP/1.1\r\nHost: a\r\n\r\n",
]
WORDS = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b" :", b"0", b"00", b"+5", b"-1", b"0x5", b"5", b"6", b"Content-Length: 5\r\n",
         b"Content-Length: 6\r\n", b"Content-Length : 5\r\n", b"Content-Length:\r\n", b"Content-Length: 5, 5\r\n",
         b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: chunked, identity\r\n",
         b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
         b"Transfer_Encoding: chunked\r\n", b" folded\r\n", b"\x00", b"\x7f", b"\xff", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.10",
         b"GET", b"POST", b"get", b"0\r\n\r\n", b"1\r\nx\r\n", b";", b"\r\n\r\n", b"X: y\r\n", b"ffffffffffffffff", b"Expect: 100-continue\r\n",
         b"http://", b"https://", b"http://c", b"@", b"/", b"?", b"#", b"[::1]"]
