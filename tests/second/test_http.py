# SPDX-License-Identifier: MIT
"""Our HTTP against llhttp in its strict mode (inside Node.js): of the same bytes, each request that we take is one that
llhttp takes, with the same method, target, fields and body. Two readers of which one sees a request that the other does
not are what smuggling lives on. We may refuse more."""

import pathlib
import re
import shutil

import pytest

from second.http_cases import SEEDS, WORDS
from second.mutations import Mutator
from second.programs import answers, program

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")

CASES = 12000
# What we take, and llhttp does not:
OURS = [
    # a target that is not ASCII: old clients write names so;
    re.compile(rb"[A-Z] [^ \r\n]*[\x80-\xff]"),
    # a later minor version, which is spoken to as HTTP/1.1 (RFC 9110, 2.5);
    re.compile(rb" HTTP/1\.[2-9]\r"),
    # a tab behind a value, which is white space (RFC 9110, 5.6.3): llhttp knows "chunked" without it only;
    re.compile(rb":[^\r\n]*\t *\r\n"),
    # a field of a trailer that would frame a body: we read over it, as over all (RFC 9110, 6.5.1).
    re.compile(rb"\r\n0+(;[^\r]*)?\r\n([^\r\n]+\r\n)*(Transfer-Encoding|Content-Length):", re.I)]


def read(lines):
    """For each case the requests that were read, up to one after which it is not HTTP any more."""
    cases, requests, over = [], [], False
    for line in lines:
        kind, *words = line.split(" ")
        if kind == ".":
            cases.append(requests)
            requests, over = [], False
        elif kind == "U":
            over = True
        elif not over and kind == "R":
            requests.append((*words, {}))
        elif not over:
            requests[-1][3][words[0]] = words[1]
    return cases


def strangers(ours, theirs):
    """Those of ours that are not among theirs, in order."""
    rest = iter(theirs)
    return [request for request in ours if not any(request == other for other in rest)]


def test_what_we_take_llhttp_takes():
    mutator = Mutator(20, WORDS)
    cases = SEEDS + [mutator.some(mutator.random.choice(SEEDS)) for _ in range(CASES)]
    ours = read(answers([program("http")], cases))
    script = pathlib.Path(__file__).with_name("llhttp.js")
    theirs = read(answers(["node", str(script)], cases))
    assert len(ours) == len(theirs) == len(cases)
    wrong = [(case, one, other) for case, one, other in zip(cases, ours, theirs)
             if strangers(one, other) and not any(reason.search(case) for reason in OURS)]
    assert not wrong, f"{len(wrong)}, such as {sorted(wrong, key=lambda one: len(one[0]))[:6]}"
    assert all(one == other for one, other in zip(ours[:len(SEEDS)], theirs)), "of what is right both read the same"
    taken, all_taken = sum(map(len, ours)), sum(map(len, theirs))
    print(f"{len(cases)} cases: we take {taken} requests, llhttp {all_taken}")
    assert taken > CASES / 4, "too few mutations are requests to say anything"
