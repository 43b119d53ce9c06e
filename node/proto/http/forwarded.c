/* SPDX-License-Identifier: MIT */
#include "node/proto/http/forwarded.h"

#include <stdlib.h>
#include <string.h>

/* Cuts the last element of a list with commas off *list. Commas inside quotes (RFC 7239, 4) do not
 * count: quotes are counted from the end, which proxies wrote. A client may have left one open before. false:
 * there is none. */
static bool cut_last(struct span *list, struct span *last)
{
    bool quoted = false;
    size_t begin = list->len;
    if (list->len == 0) {
        return false;
    }
    for (; begin > 0 && (quoted || list->ptr[begin - 1] != ','); begin--) {
        quoted = quoted != (list->ptr[begin - 1] == '"');
    }
    *last = span_trim(span_skip(*list, begin));
    list->len = begin > 0 ? begin - 1 : 0;
    return true;
}

/* The value of `for` among the pairs of a Forwarded element; empty when it has none. */
static struct span for_of(struct span element)
{
    while (element.len > 0) {
        struct span value = span_trim(span_cut(&element, ';'));
        struct span name = span_trim(span_cut(&value, '='));
        if (value.ptr != NULL && span_eq_nocase(name, SPAN("for"))) {
            value = span_trim(value);
            bool quoted = value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"';
            return quoted ? span_of(value.ptr + 1, value.len - 2) : value;
        }
    }
    return span_of(NULL, 0);
}

/* "192.0.2.7", "192.0.2.7:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80". */
static bool read_node(struct span text, struct address *out)
{
    struct span host = text, port = SPAN("");
    if (text.len == 0) {
        return false;
    }
    const char *close = text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len) : NULL;
    const char *colon = memchr(text.ptr, ':', text.len);
    if (close != NULL) {
        host = span_of(text.ptr + 1, (size_t)(close - text.ptr) - 1);
        port = span_skip(text, host.len + 2);
        port = port.len > 0 && port.ptr[0] == ':' ? span_skip(port, 1) : SPAN("");
    } else if (colon != NULL && colon == memrchr(text.ptr, ':', text.len)) {
        host = span_of(text.ptr, (size_t)(colon - text.ptr));
        port = span_skip(text, host.len + 1);
    }
    if (host.len == 0 || address_parse_ip(host, out) != 0) {
        return false;
    }
    unsigned number = 0;
    for (size_t i = 0; i < port.len && i < 5; i++) {
        bool digit = port.ptr[i] >= '0' && port.ptr[i] <= '9';
        number = digit ? number * 10 + (unsigned)(port.ptr[i] - '0') : 0;
    }
    out->port = number < 65536 ? (uint16_t)number : 0;
    return true;
}

/* Up to the first address that is no trusted proxy's; a trusted one where the list names no other. */
static struct address follow(const struct cidr_list *trusted, const struct address *peer,
                             struct span list, bool standard)
{
    struct address client = *peer, hop;
    struct span element;
    while (cidr_list_has(trusted, &client) && cut_last(&list, &element) &&
           read_node(standard ? for_of(element) : element, &hop)) {
        client = hop;
    }
    return client;
}

bool http_forwarded_client(const struct cidr_list *trusted, const struct address *peer,
                           struct span forwarded, struct span x_forwarded_for,
                           struct address *client)
{
    struct address standard = follow(trusted, peer, forwarded, true);
    struct address other = follow(trusted, peer, x_forwarded_for, false);
    bool by_standard = !cidr_list_has(trusted, &standard);
    bool by_other = !cidr_list_has(trusted, &other);
    *client = by_standard || (!by_other && forwarded.len > 0) ? standard : other;
    return !(by_standard && by_other) || memcmp(standard.ip, other.ip, sizeof(other.ip)) == 0;
}
