/* Lines of the input are messages of one /connect socket, text or (after a NUL) binary: whatever
 * they say, the socket stays usable, so that a last `ping` is answered, unless it asked to leave.
 */
#include "node/service/sync.h"
#include "store/store.h"
#include "tests/fuzz/fuzz_peer.h"

enum { MOST_ROUNDS = 100 };

static struct fuzz_peer peer;
static struct buf in, out;
static int rounds;

static void init(void)
{
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 64,
                                                .request_ms = 1000000,
                                                .keep_alive_ms = 1000000,
                                                .ws_message_limit = 100000};
    char error[128];
    fuzz_peer_init(&peer, &options);
    struct store *store = store_open(&(struct store_options){.base = loop_base(peer.loop),
                                                             .url = "memory:",
                                                             .prefix = "fuzz",
                                                             .node = "node",
                                                             .lease_ms = 10000},
                                     error, sizeof error);
    if (store == NULL) {
        abort();
    }
    sync_new(peer.server,
             &(struct sync_options){
                 .store = store, .metrics = &peer.metrics, .node = "node", .idle_ms = 1000000});
}

static void add_frame(struct buf *bytes, struct span message)
{
    bool binary = message.len > 0 && message.ptr[0] == '\0';
    char head[8] = {(char)(binary ? 0x82 : 0x81), (char)(0x80 | 126), (char)(message.len >> 8),
                    (char)message.len};
    size_t head_len = message.len < 126 ? 2 : 4;
    if (message.len < 126) {
        head[1] = (char)(0x80 | message.len);
    }
    buf_append(bytes, span_of(head, head_len));
    buf_append(bytes, span_of("\0\0\0\0", 4)); /* a mask that changes nothing */
    buf_append(bytes, message);
}

static void build(struct buf *bytes, struct span data)
{
    buf_append(bytes,
               SPAN("GET /connect?playerName=fuzz HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n"));
    while (data.len > 0) {
        struct span message = span_cut(&data, '\n');
        message.len = message.len < UINT16_MAX ? message.len : UINT16_MAX;
        add_frame(bytes, message);
    }
    add_frame(bytes, SPAN("ping"));
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
