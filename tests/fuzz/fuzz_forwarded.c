/* SPDX-License-Identifier: MIT */
/* What a client makes up: the first line is X-Forwarded-For, the second Forwarded. A trusted proxy adds who
 * connected to it to one of them, and that is who it was, or the request is refused. */
#include "node/proto/http/forwarded.h"

#include "store/base/buf.h"

#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void add(struct buf *field, const char *element)
{
    buf_printf(field, "%s%s", field->len > 0 ? ", " : "", element);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cidr_list trusted;
    static struct address peer, real;
    static struct buf x, standard;
    struct span rest = span_of(data, size), wrong;
    struct address client;
    if (trusted.count == 0) {
        must(cidr_list_parse(SPAN("10.0.0.0/8"), &trusted, &wrong) == 0 &&
                 address_parse_ip(SPAN("10.0.0.1"), &peer) == 0 &&
                 address_parse_ip(SPAN("203.0.113.5"), &real) == 0,
             "begun");
    }
    struct span first = span_cut(&rest, '\n');
    for (int with = 0; with < 4;
         with++) { /* whose field a proxy adds to, and whether another proxy follows */
        x.len = standard.len = 0;
        buf_append(&x, first);
        buf_append(&standard, rest);
        struct buf *added = with % 2 == 0 ? &x : &standard;
        add(added, with % 2 == 0 ? "203.0.113.5" : "for=\"203.0.113.5:80\"");
        if (with >= 2) {
            add(added, with % 2 == 0 ? "10.0.0.2" : "for=10.0.0.2;proto=https");
        }
        bool one =
            http_forwarded_client(&trusted, &peer, buf_span(&standard), buf_span(&x), &client);
        must(!one || memcmp(client.ip, real.ip, sizeof(real.ip)) == 0, "believed what was made up");
    }
    return 0;
}
