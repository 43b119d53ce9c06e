/* SPDX-License-Identifier: MIT */
/* tls client: sessions of OpenSSL for connections that the node makes itself. TLS 1.2 and later; the
 * server's certificate is always verified: its chain, its dates, and that it was made for the host
 * (RFC 6125) or IP address. */
#ifndef MUSTER_NODE_PROTO_HTTP_TLS_CLIENT_H
#define MUSTER_NODE_PROTO_HTTP_TLS_CLIENT_H

#include <stddef.h>

struct ssl_st; /* OpenSSL's SSL */

/* New session with `host`, as the connecting side. `ca`: PEM file of the authorities to believe, read
 * each time; empty: those of the system. NULL, with a message in `error`, when the file is of no use.
 */
struct ssl_st *tls_client_new(const char *ca, const char *host, char *error, size_t error_size)
    __attribute__((warn_unused_result));

/* Why the session failed, for a person: the certificate's fault first, else that of `code` (of
 * OpenSSL's errors; 0: none). */
void tls_client_why(struct ssl_st *ssl, unsigned long code, char *text, size_t size);

#endif
