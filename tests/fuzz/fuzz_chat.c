/* SPDX-License-Identifier: MIT */
/* Lines of the input are messages of one /chat socket and one /minigame socket, text or (after a
 * NUL) binary: each is answered, and the sockets stay usable. A line that begins with '@' goes to
 * /minigame. */
#include "node/service/chat/chat.h"
#include "node/service/minigame/minigame.h"
#include "tests/fuzz/fuzz_peer.h"

static struct fuzz_peer peer;

static void init(void)
{
    fuzz_peer_init(&peer, &fuzz_http_options);
    struct wheel *wheel = net_wheel(peer.net);
    struct store *store = fuzz_store(&peer);
    const struct chat_options options = {
        .store = store,
        .metrics = &peer.metrics,
        .wheel = wheel,
        .node = "node",
        .login = {.base = loop_base(peer.loop),
                  .development = true,
                  .key_file = "",
                  .jwks = "",
                  .secret = "",
                  .audience = "",
                  .issuer = "",
                  .nickname_claim = "",
                  .account_url = "",
                  .login_url = "",
                  .account_parallel = 1},
        .net = peer.net,
        .history = 5,
        .rate = 1000000,
        .burst = 1000000,
        .text_limit = 100,
        .answer_limit = 10000,
        .api_env = "",
        .api_desc = "",
    };
    char error[128];
    struct chat *chat = chat_new(peer.server, &options, error, sizeof(error));
    if (chat == NULL) {
        abort();
    }
    minigame_new(peer.server,
                 &(struct minigame_options){.store = store,
                                            .metrics = &peer.metrics,
                                            .wheel = wheel,
                                            .node = "node",
                                            .net = peer.net,
                                            .online = {CHAT_ONLINE_PARTS, chat_each_online, chat},
                                            .token = "",
                                            .webhook_token = ""});
}

/* The lines for one of the two paths, and a last message whose answer is known. */
static void build(struct buf *in, struct span data, bool minigame)
{
    in->len = 0;
    fuzz_add_handshake(in, minigame ? "/minigame" : "/chat");
    while (data.len > 0) {
        struct span message = span_cut(&data, '\n');
        bool to_minigame = message.len > 0 && message.ptr[0] == '@';
        message = span_skip(message, to_minigame ? 1 : 0);
        message.len = message.len < UINT16_MAX ? message.len : UINT16_MAX;
        if (to_minigame == minigame) {
            fuzz_add_frame(in, message);
        }
    }
    fuzz_add_frame(in, SPAN("{\"action\":\"login\",\"token\":\"\"}"));
}

static void play(struct span data, bool minigame)
{
    static struct buf in, out;
    out.len = 0;
    build(&in, data, minigame);
    fuzz_play(&peer, buf_span(&in), 0, &out, NULL);
    const char *answer = minigame ? "unknown action" : "have to be provided";
    bool answered = memmem(out.ptr, out.len, answer, strlen(answer)) != NULL;
    bool not_utf8 = memmem(out.ptr, out.len, "\x03\xef", 2) != NULL; /* 1007 */
    if (!answered && !not_utf8) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (peer.loop == NULL) {
        init();
    }
    play(span_of(data, size), false);
    play(span_of(data, size), true);
    if (peer.metrics.value[METRIC_CHAT_SOCKETS] != 0 ||
        peer.metrics.value[METRIC_CHAT_USERS] != 0 ||
        peer.metrics.value[METRIC_MINIGAME_SOCKETS] != 0) {
        abort(); /* nobody is there any more */
    }
    return 0;
}
