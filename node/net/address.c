/* SPDX-License-Identifier: MIT */
#include "node/net/address.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

static const unsigned char mapped_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

struct address address_of(const struct sockaddr *addr)
{
    struct address address = {0};
    if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)addr;
        memcpy(address.ip, &in6->sin6_addr, sizeof(address.ip));
        address.port = ntohs(in6->sin6_port);
    } else if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const void *)addr;
        memcpy(address.ip, mapped_prefix, sizeof(mapped_prefix));
        memcpy(address.ip + sizeof(mapped_prefix), &in->sin_addr, 4);
        address.port = ntohs(in->sin_port);
    }
    return address;
}

bool address_is_ipv4(const struct address *address)
{
    return memcmp(address->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
}

bool address_is_any(const struct address *address)
{
    static const unsigned char zero[16];
    bool four = address_is_ipv4(address);
    return memcmp(address->ip + (four ? 12 : 0), zero, four ? 4 : sizeof(zero)) == 0;
}

struct address_source address_source(const struct address *address)
{
    struct address_source source = {{0}};
    memcpy(source.ip, address->ip, address_is_ipv4(address) ? 16 : 8);
    return source;
}

bool address_same_source(const struct address *a, const struct address *b)
{
    struct address_source one = address_source(a), two = address_source(b);
    return memcmp(one.ip, two.ip, sizeof(one.ip)) == 0;
}

bool address_eq(const struct address *a, const struct address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

socklen_t address_sockaddr(const struct address *address, int family, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (family == AF_INET) {
        struct sockaddr_in *in = (void *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(address->port);
        memcpy(&in->sin_addr, address->ip + sizeof(mapped_prefix), 4);
        return sizeof(*in);
    }
    struct sockaddr_in6 *in6 = (void *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(address->port);
    memcpy(&in6->sin6_addr, address->ip, sizeof(address->ip));
    return sizeof(*in6);
}

const char *address_ip_text(const struct address *address, char out[static ADDRESS_TEXT])
{
    if (address_is_ipv4(address)) {
        inet_ntop(AF_INET, address->ip + sizeof(mapped_prefix), out, ADDRESS_TEXT);
    } else {
        inet_ntop(AF_INET6, address->ip, out, ADDRESS_TEXT);
    }
    return out;
}

const char *address_text(const struct address *address, char out[static ADDRESS_TEXT])
{
    char ip[ADDRESS_TEXT];
    address_ip_text(address, ip);
    snprintf(out, ADDRESS_TEXT, address_is_ipv4(address) ? "%.46s:%u" : "[%.46s]:%u", ip,
             address->port);
    return out;
}

int address_parse_ip(struct span text, struct address *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.len == 0 || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len) != NULL) {
        return -1;
    }
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    *out = (struct address){0};
    if (inet_pton(AF_INET6, copy, out->ip) == 1) {
        return 0;
    }
    memcpy(out->ip, mapped_prefix, sizeof(mapped_prefix));
    return inet_pton(AF_INET, copy, out->ip + sizeof(mapped_prefix)) == 1 ? 0 : -1;
}

static int parse_port(const char *text, uint16_t *port)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || value > UINT16_MAX) {
        return -1;
    }
    *port = (uint16_t)value;
    return 0;
}

static bool is_name(struct span host)
{
    bool letter = false;
    for (size_t i = 0; i < host.len; i++) {
        unsigned char c = (unsigned char)host.ptr[i];
        letter = letter || isalpha(c);
        if (!isalnum(c) && c != '.' && c != '-' && c != '_') {
            return false;
        }
    }
    return letter && host.len < NI_MAXHOST;
}

/* The first address of a name, IPv4 before IPv6, as the system knows it. Waits for the system. */
static int look_up(struct span host, struct address *out)
{
    char name[NI_MAXHOST];
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found = NULL;
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    if (getaddrinfo(name, NULL, &hints, &found) != 0) {
        hints.ai_family = AF_INET6;
        if (getaddrinfo(name, NULL, &hints, &found) != 0) {
            return -1;
        }
    }
    *out = address_of(found->ai_addr);
    freeaddrinfo(found);
    return 0;
}

/* What stands before the colon, without brackets. */
static int parse_host(struct span host, struct address *out, int *family)
{
    if (memchr(host.ptr, ':', host.len) != NULL) {
        return -1;
    }
    if (address_parse_ip(host, out) != 0 && (!is_name(host) || look_up(host, out) != 0)) {
        return -1;
    }
    *family = address_is_ipv4(out) ? AF_INET : AF_INET6;
    return 0;
}

int address_parse_bind(const char *text, struct address *out, int *family)
{
    const char *colon = strrchr(text, ':');
    uint16_t port;
    if (colon == NULL || parse_port(colon + 1, &port) != 0) {
        return -1;
    }
    struct span host = span_of(text, (size_t)(colon - text));
    *out = (struct address){0};
    *family = AF_INET6;
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']') {
        if (address_parse_ip(span_of(host.ptr + 1, host.len - 2), out) != 0) {
            return -1;
        }
    } else if (host.len > 0 && parse_host(host, out, family) != 0) {
        return -1;
    }
    out->port = port;
    return 0;
}
