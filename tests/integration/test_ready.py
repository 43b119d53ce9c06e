# SPDX-License-Identifier: MIT
"""/readyz of a node says which Redis is missing, and why."""

from lib.redis import Sentinel
from lib.waiting import wait_until


def says(node, *words):
    status, text = node.get("/readyz")
    return status == 503 and "the store cannot be reached" in text and all(word in text for word in words)


def test_a_redis_that_is_gone_is_named(yard, redis):
    node = yard.node(store=redis.url, lease="2s")
    assert node.get("/readyz") == (200, "ready\n")
    redis.kill()
    wait_until(lambda: says(node, f"away: 127.0.0.1:{redis.port} (256 of 256 partitions)", "Connection refused"), "it says which")
    redis.start()
    node.ready()
    assert node.get("/readyz") == (200, "ready\n")


def test_a_redis_that_stands_still_is_named(yard, redis):
    node = yard.node(store=redis.url, lease="2s")
    redis.pause()
    wait_until(lambda: says(node, f"away: 127.0.0.1:{redis.port} "), "it says which")
    redis.cont()
    node.ready()


def test_a_redis_that_is_not_to_be_used_is_named_with_the_reason(yard, redis):
    replica = yard.redis("--replicaof", "127.0.0.1", str(redis.port))
    guarded = yard.redis("--requirepass", "hush-hush")
    for server, url, why in ((replica, replica.url, "replica"), (guarded, guarded.url, "NOAUTH"),
                             (guarded, f"redis://:wrong-one@127.0.0.1:{guarded.port}", "WRONGPASS")):
        node = yard.begin(store=url, lease="2s")
        wait_until(lambda it=node, at=server, reason=why: it.status("/readyz") and says(it, f"away: 127.0.0.1:{at.port} ", reason), f"it says {why}")
        assert "wrong-one" not in node.get("/readyz")[1] + node.log()


def test_a_master_that_sentinels_do_not_find_is_named(yard, redis):
    sentinel = yard.sentinel(redis, 1)
    node = yard.node(store=f"redis+sentinel://127.0.0.1:{sentinel.port}/{Sentinel.NAME}", lease="2s")
    redis.kill()
    wait_until(lambda: says(node, f"away: {Sentinel.NAME} ", str(redis.port)), "it says which")
    redis.start()
    node.ready()


def test_two_of_two_are_named(yard):
    both = [yard.redis() for _ in range(2)]
    node = yard.node(store=",".join(server.url for server in both), lease="2s")
    both[0].kill()
    wait_until(lambda: f"away: 127.0.0.1:{both[0].port} (" in node.get("/readyz")[1], "it says which one")
    assert node.status("/readyz") == 200 and str(both[1].port) not in node.get("/readyz")[1]
    both[1].kill()
    wait_until(lambda: says(node, str(both[0].port), str(both[1].port), "256 of 256"), "it says that both are")
