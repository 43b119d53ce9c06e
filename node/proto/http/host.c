/* SPDX-License-Identifier: MIT */
/* A site can give its own name the address of this server (DNS rebinding): for a browser its page is then
 * of this server's origin. What gives it away is the name that it asks by. So what is for our own pages answers only
 * under names that no site of the Internet can have, and under those that are listed. */
#include "node/proto/http/host.h"

#include "node/net/address.h"
#include "node/proto/http/impl.h"

#include <string.h>

static bool is_digits(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return false;
        }
    }
    return true;
}

/* The host of "host[:port]" (RFC 9110, 7.2), without the brackets of an IPv6 address and without the dot
 * of a root. Where what follows it is no port, all of it is a name: "[::1].evil.example" is no address. */
static struct span host_of(struct span authority)
{
    bool brackets = span_starts_with(authority, SPAN("["));
    struct span rest = brackets ? span_skip(authority, 1) : authority;
    struct span host = span_cut(&rest, brackets ? ']' : ':');
    bool colon = brackets && span_starts_with(rest, SPAN(":"));
    struct span port = colon ? span_skip(rest, 1) : rest;
    if (!is_digits(port) || (brackets && !colon && rest.len > 0)) {
        return authority;
    }
    host.len -= !brackets && host.len > 0 && host.ptr[host.len - 1] == '.';
    return host;
}

static bool ends_with(struct span name, struct span end)
{
    return name.len > end.len && span_eq_nocase(span_skip(name, name.len - end.len), end);
}

/* Names that are not given away on the Internet: addresses, one label, and below domains that are kept for
 * a machine's or a network's own use (RFC 6761, 6.3; ".internal" by ICANN's board) or are Kubernetes'. */
static bool is_nobodys(struct span host)
{
    struct address address;
    return address_parse_ip(host, &address) == 0 || memchr(host.ptr, '.', host.len) == NULL ||
           ends_with(host, SPAN(".localhost")) || ends_with(host, SPAN(".internal")) ||
           ends_with(host, SPAN(".svc")) || ends_with(host, SPAN(".svc.cluster.local"));
}

/* An entry that begins with a dot names all hosts below a domain. */
static bool is_named(struct span host, struct span entry)
{
    return span_eq(entry, SPAN("*")) ||
           (span_starts_with(entry, SPAN(".")) ? ends_with(host, entry)
                                               : span_eq_nocase(host, entry));
}

static bool is_listed(struct span host, const char *hosts)
{
    struct span rest = span_str(hosts);
    while (rest.len > 0) {
        if (is_named(host, span_trim(span_cut(&rest, ',')))) {
            return true;
        }
    }
    return false;
}

static bool may_be_asked_by(struct span authority, const char *hosts)
{
    struct span host = host_of(authority);
    return host.len == 0 || is_nobodys(host) || is_listed(host, hosts);
}

/* A target in absolute-form says the name, and Host does not count then (RFC 9112, 3.2.2). Here it does,
 * too: whichever of the two is the site's that asks, the answer is not for it. */
bool http_host_may(const struct http_request *request, const struct http_options *options)
{
    const char *hosts = options->hosts != NULL ? options->hosts : "";
    bool any = hosts[0] == '\0' && !options->same_origin;
    return any || (may_be_asked_by(request->authority, hosts) &&
                   may_be_asked_by(http_header(request, "host"), hosts));
}
