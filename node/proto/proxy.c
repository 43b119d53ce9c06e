/* SPDX-License-Identifier: MIT */
#include "node/proto/proxy.h"

#include "store/base/decimal.h"

#include <netinet/in.h>
#include <sys/socket.h>

#define SIGNATURE SPAN("\r\n\r\n\0\r\nQUIT\n")
#define WORD SPAN("PROXY ")

enum {
    LINE_LIMIT = 107, /* 2.1: the longest line, with its end */
    HEAD = 16,        /* 2.2: what stands before the addresses */
    COMMAND_LOCAL = 0,
    COMMAND_PROXY = 1,
    FAMILY_IPV4 = 1,
    FAMILY_IPV6 = 2,
};

/* ------------------------------------------------------------------------------------ version 1 */

/* Decimal, no sign, no leading zero. */
static bool read_port(struct span text, uint16_t *port)
{
    uint64_t value;
    bool is_number = decimal_read(text, UINT16_MAX, &value);
    bool is_padded = text.len > 1 && text.ptr[0] == '0';
    *port = (uint16_t)value;
    return is_number && !is_padded;
}

static bool read_ip(struct span text, bool ipv4, struct address *out)
{
    bool dotted = text.len > 0 && memchr(text.ptr, ':', text.len) == NULL;
    return dotted == ipv4 && address_parse_ip(text, out) == 0;
}

/* `line` is what stands between "PROXY " and the end of the line. */
static bool read_line(struct span line, struct proxy *out)
{
    struct span family = span_cut(&line, ' ');
    out->known = !span_eq(family, SPAN("UNKNOWN")); /* what follows it is to be passed over */
    if (!out->known) {
        return true;
    }
    bool ipv4 = span_eq(family, SPAN("TCP4"));
    struct span source = span_cut(&line, ' '), destination = span_cut(&line, ' ');
    struct span source_port = span_cut(&line, ' ');
    return (ipv4 || span_eq(family, SPAN("TCP6"))) && read_ip(source, ipv4, &out->source) &&
           read_ip(destination, ipv4, &out->destination) &&
           read_port(source_port, &out->source.port) && read_port(line, &out->destination.port);
}

static int read_text(struct span bytes, struct proxy *out, size_t *used)
{
    size_t seen = bytes.len < LINE_LIMIT ? bytes.len : LINE_LIMIT;
    const char *end = memmem(bytes.ptr, seen, "\r\n", 2);
    if (end == NULL) {
        return seen < LINE_LIMIT ? 0 : -1;
    }
    size_t len = (size_t)(end - bytes.ptr);
    if (!read_line(span_of(bytes.ptr + WORD.len, len - WORD.len), out)) {
        return -1;
    }
    *used = len + 2;
    return 1;
}

/* ------------------------------------------------------------------------------------ version 2 */

static uint16_t get_u16(const char *at)
{
    return (uint16_t)((unsigned char)at[0] << 8 | (unsigned char)at[1]);
}

static struct address get_ipv4(const char *ip, const char *port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(get_u16(port))};
    memcpy(&addr.sin_addr, ip, 4);
    return address_of((struct sockaddr *)&addr);
}

static struct address get_ipv6(const char *ip, const char *port)
{
    struct address address = {.port = get_u16(port)};
    memcpy(address.ip, ip, sizeof(address.ip));
    return address;
}

/* `body` is what the length counts: the addresses, and TLVs of which none is of use here. */
static bool read_body(uint8_t command, uint8_t family, struct span body, struct proxy *out)
{
    size_t ip = family == FAMILY_IPV4 ? 4 : 16;
    out->known = command == COMMAND_PROXY && (family == FAMILY_IPV4 || family == FAMILY_IPV6);
    if (!out->known) {
        return command == COMMAND_LOCAL || command == COMMAND_PROXY;
    }
    if (body.len < 2 * ip + 4) {
        return false;
    }
    const char *ports = body.ptr + 2 * ip;
    struct address (*get)(const char *, const char *) = family == FAMILY_IPV4 ? get_ipv4 : get_ipv6;
    out->source = get(body.ptr, ports);
    out->destination = get(body.ptr + ip, ports + 2);
    return true;
}

static int read_binary(struct span bytes, struct proxy *out, size_t *used)
{
    if (bytes.len < HEAD) {
        return 0;
    }
    uint8_t version = (uint8_t)bytes.ptr[12] >> 4, command = (uint8_t)bytes.ptr[12] & 0xf;
    uint8_t family = (uint8_t)bytes.ptr[13] >> 4;
    size_t len = get_u16(bytes.ptr + 14);
    if (version != 2 || HEAD + len > PROXY_LIMIT) {
        return -1;
    }
    if (bytes.len < HEAD + len) {
        return 0;
    }
    *used = HEAD + len;
    return read_body(command, family, span_of(bytes.ptr + HEAD, len), out) ? 1 : -1;
}

/* `bytes` begins with `word`, or may still come to. */
static bool may_begin_with(struct span bytes, struct span word)
{
    size_t len = bytes.len < word.len ? bytes.len : word.len;
    return len == 0 || memcmp(bytes.ptr, word.ptr, len) == 0;
}

int proxy_read(struct span bytes, struct proxy *out, size_t *used)
{
    *out = (struct proxy){.known = false};
    *used = 0;
    if (may_begin_with(bytes, WORD)) {
        return bytes.len < WORD.len ? 0 : read_text(bytes, out, used);
    }
    if (may_begin_with(bytes, SIGNATURE)) {
        return read_binary(bytes, out, used);
    }
    return -1;
}

int proxy_gather(struct buf *head, struct span bytes, struct proxy *out, size_t *taken)
{
    size_t before = head->len, used = 0;
    buf_append(head, bytes);
    int rc = proxy_read(buf_span(head), out, &used);
    *taken = rc > 0 ? used - before : bytes.len; /* what came before was not all of it */
    if (rc != 0) {
        buf_free(head);
    }
    return rc;
}
