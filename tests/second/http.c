/* SPDX-License-Identifier: MIT */
/* second_http: what the node's HTTP server reads of the bytes of each case (cases.h): a line for each
 * request that a handler got,
 *
 *     R method target body            in hexadecimal digits
 *     F name value                    each field, those of one name joined
 *     .                               the end of the case */
#include "node/proto/http/impl.h"
#include "tests/fuzz/fuzz_peer.h"
#include "tests/second/cases.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    (void)data, (void)size; /* declared by fuzz_peer.h; there is no fuzzer here */
    return 0;
}

static bool first_of_name(const struct http_request *request, unsigned field)
{
    for (unsigned i = 0; i < field; i++) {
        if (span_eq(request->fields[i].name, request->fields[field].name)) {
            return false;
        }
    }
    return true;
}

static void on_request(void *arg, struct http_request *request)
{
    (void)arg;
    putchar('R');
    case_print_hex(request->method);
    case_print_hex(request->target);
    case_print_hex(http_body(request));
    putchar('\n');
    for (unsigned i = 0; i < request->field_count; i++) {
        if (first_of_name(request, i)) {
            putchar('F');
            case_print_hex(request->fields[i].name);
            case_print_hex(request->fields[i].value);
            putchar('\n');
        }
    }
    http_reply(request, 200, "text/plain", SPAN("x"));
}

int main(void)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH"};
    static const struct http_options options = {.header_limit = 4096,
                                                .body_limit = 1024,
                                                .request_ms = 1000000,
                                                .keep_alive_ms = 1000000,
                                                .ws_message_limit = 100};
    struct fuzz_peer peer = {0};
    struct buf bytes = {0}, out = {0};
    fuzz_peer_init(&peer, &options);
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        http_route(peer.server, methods[i], "/", on_request, NULL);
    }
    while (case_next(&bytes)) {
        out.len = 0;
        fuzz_play(&peer, buf_span(&bytes), 0, &out, NULL);
        puts(".");
        fflush(stdout);
    }
    buf_free(&bytes);
    buf_free(&out);
    return 0;
}
