/* SPDX-License-Identifier: MIT */
/* Lines of the input are messages of one /connect socket, text or (after a NUL) binary: whatever
 * they say, the socket stays usable, so that a last `ping` is answered, unless it asked to leave.
 */
#include "node/service/sync/sync.h"
#include "tests/fuzz/fuzz_peer.h"

enum { MOST_ROUNDS = 100 };

static struct fuzz_peer peer;
static struct buf in, out;
static int rounds;

static void init(void)
{
    fuzz_peer_init(&peer, &fuzz_http_options);
    struct store *store = fuzz_store(&peer);
    sync_new(peer.server,
             &(struct sync_options){
                 .store = store, .metrics = &peer.metrics, .node = "node", .idle_ms = 1000000});
}

static void build(struct buf *bytes, struct span data)
{
    fuzz_add_handshake(bytes, "/connect?playerName=fuzz");
    while (data.len > 0) {
        struct span message = span_cut(&data, '\n');
        message.len = message.len < UINT16_MAX ? message.len : UINT16_MAX;
        fuzz_add_frame(bytes, message);
    }
    fuzz_add_frame(bytes, SPAN("ping"));
}

static bool has(const char *bytes, size_t len)
{
    return memmem(out.ptr, out.len, bytes, len) != NULL;
}

static bool has_ended(void)
{
    return has("\x81\x04pong", 6) || has("left the session", 16) ||
           has("\x03\xef", 2); /* 1007: no UTF-8 */
}

/* The store's answers take turns of the loop, too. */
static bool goes_on(void)
{
    return ++rounds < MOST_ROUNDS && !has_ended();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (peer.loop == NULL) {
        init();
    }
    in.len = out.len = 0;
    build(&in, span_of(data, size));
    rounds = 0;
    fuzz_play(&peer, buf_span(&in), 0, &out, goes_on);
    if (!has_ended()) {
        abort();
    }
    if (peer.metrics.value[METRIC_SYNC_SOCKETS] != 0 ||
        peer.metrics.value[METRIC_SYNC_SESSIONS] != 0) {
        abort(); /* nobody is there any more */
    }
    return 0;
}
