/* SPDX-License-Identifier: MIT */
/* Browsers name the page that asks (RFC 6454, 7; RFC 6455, 10.2), and nothing else keeps one site's page
 * from using another's server. Clients that are no browsers name none. */
#include "node/proto/http/origin.h"

#include "node/proto/http/host.h"
#include "node/proto/http/impl.h"

/* Scheme and all of what is before host and port go: behind a proxy that ends TLS we do not know it. */
static struct span authority_of(struct span origin)
{
    const char *at = memmem(origin.ptr, origin.len, "://", 3);
    return at != NULL ? span_skip(origin, (size_t)(at - origin.ptr) + 3) : SPAN("");
}

/* Under the name that it was asked for, or that a proxy was, which says so: a page can give a request no
 * such field without asking first (a preflight), which is refused. */
static bool is_own(const struct http_request *request, struct span origin)
{
    struct span authority = authority_of(origin);
    return authority.len > 0 &&
           (span_eq_nocase(authority, request->authority) ||
            span_eq_nocase(authority, http_header(request, "x-forwarded-host")));
}

static bool is_listed(struct span origin, const char *origins)
{
    struct span rest = span_str(origins != NULL ? origins : "");
    while (rest.len > 0) {
        if (span_eq_nocase(span_trim(span_cut(&rest, ',')), origin)) {
            return true;
        }
    }
    return false;
}

static bool has_list(const struct http_options *options)
{
    return options->origins != NULL && options->origins[0] != '\0';
}

/* A picture, a script or a link of another site's page: such requests bear no Origin, but their browser
 * says so (Fetch Metadata) where it trusts the connection. */
static bool is_of_another_site(const struct http_request *request)
{
    struct span site = http_header(request, "sec-fetch-site");
    return site.ptr != NULL && !span_eq(site, SPAN("same-origin")) && !span_eq(site, SPAN("none"));
}

/* No Origin: one of another site's may only be a link to what is then shown as a page of its own. */
static bool may_unnamed(const struct http_request *request, enum http_origin guard)
{
    return !is_of_another_site(request) ||
           (guard == HTTP_ORIGIN_OWN &&
            span_eq(http_header(request, "sec-fetch-mode"), SPAN("navigate")));
}

bool http_origin_may(const struct http_request *request, const struct http_options *options,
                     enum http_origin guard)
{
    struct span origin = http_header(request, "origin");
    if (options->same_origin) {
        guard = HTTP_ORIGIN_OWN;
    }
    bool all = guard == HTTP_ORIGIN_LISTED && !has_list(options) && !options->guarded_writes;
    if (guard == HTTP_ORIGIN_ANY || guard == HTTP_ORIGIN_PROBE || all) {
        return true;
    }
    if (origin.ptr == NULL) {
        return may_unnamed(request, guard);
    }
    if (guard == HTTP_ORIGIN_LISTED && has_list(options)) {
        return is_listed(origin, options->origins);
    }
    /* What reads is refused under a wrong name later, and told why. */
    return is_own(request, origin) && (guard == HTTP_ORIGIN_OWN || http_host_may(request, options));
}

bool http_origin_may_connect(const struct http_request *request, const struct http_options *options)
{
    struct span origin = http_header(request, "origin");
    return origin.ptr == NULL || !has_list(options) || is_listed(origin, options->origins);
}
