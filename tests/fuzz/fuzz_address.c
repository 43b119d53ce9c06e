/* SPDX-License-Identifier: MIT */
/* Addresses as text: what is read is written so that it is read again as the same, in one form for each; a
 * range has what begins with its bits; and an address of the ranges is in the list. */
#include "node/net/address.h"
#include "node/net/cidr.h"

#include <netinet/in.h>
#include <stdint.h>
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

static bool same_ip(const struct address *a, const struct address *b)
{
    return memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static void through_sockets(const struct address *address)
{
    struct sockaddr_storage at;
    int family = address_is_ipv4(address) ? AF_INET : AF_INET6;
    socklen_t len = address_sockaddr(address, family, &at);
    struct address again = address_of((const struct sockaddr *)&at);
    must(len > 0 && address_eq(address, &again), "the same over a socket");
}

static void numeric(struct span text)
{
    struct address address, again;
    char out[ADDRESS_TEXT];
    if (address_parse_ip(text, &address) != 0) {
        return;
    }
    must(address.port == 0, "no port");
    address_ip_text(&address, out);
    must(address_parse_ip(span_str(out), &again) == 0 && same_ip(&address, &again), "the same IP");
    must(address_same_source(&address, &again), "of the same source");
    must(address_is_any(&address) == address_is_any(&again), "of any host, or not");
    through_sockets(&address);
}

/* Names are looked up: but for this machine's own only what has none is tried. */
static bool has_name(const char *text)
{
    if (text[0] == '[' || text[0] == ':' || strncmp(text, "localhost:", 10) == 0) {
        return false;
    }
    const char *colon = strrchr(text, ':');
    for (; *text != '\0' && text != colon; text++) {
        char lower = (char)(*text | 0x20);
        if (lower >= 'a' && lower <= 'z') {
            return true;
        }
    }
    return false;
}

static void bound(struct span text)
{
    struct address address, again;
    int family, other;
    char copy[256], out[ADDRESS_TEXT];
    if (text.len >= sizeof(copy)) {
        return;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    if (has_name(copy) || address_parse_bind(copy, &address, &family) != 0) {
        return;
    }
    must(family == AF_INET6 || (family == AF_INET && address_is_ipv4(&address)), "a family");
    address_text(&address, out);
    must(address_parse_bind(out, &again, &other) == 0 && address_eq(&address, &again), "bound");
}

static bool begins_as(const struct cidr *range, const struct address *address)
{
    for (unsigned bit = 0; bit < range->bits; bit++) {
        unsigned mask = 0x80U >> bit % 8;
        if (((range->ip[bit / 8] ^ address->ip[bit / 8]) & mask) != 0) {
            return false;
        }
    }
    return true;
}

/* A list, and behind a ';' an address. */
static void ranges(struct span text)
{
    struct cidr_list list;
    struct span wrong, items = span_cut(&text, ';');
    struct address address = {{0}, 0};
    bool any = false;
    if (cidr_list_parse(items, &list, &wrong) != 0) {
        must(wrong.ptr >= items.ptr && wrong.ptr + wrong.len <= items.ptr + items.len, "where");
        return;
    }
    bool given = address_parse_ip(text, &address) == 0;
    for (size_t i = 0; i < list.count; i++) {
        struct address first = {{0}, 0};
        must(list.ranges[i].bits <= 128, "so many bits");
        memcpy(first.ip, list.ranges[i].ip, sizeof(first.ip));
        must(cidr_list_has(&list, &first), "its own address");
        any = any || begins_as(&list.ranges[i], &address);
    }
    must(!given || cidr_list_has(&list, &address) == any, "in one of them");
    cidr_list_free(&list);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct span text = span_of(data, size);
    numeric(text);
    bound(text);
    ranges(text);
    return 0;
}
