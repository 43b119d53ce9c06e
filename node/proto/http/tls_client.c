/* SPDX-License-Identifier: MIT */
#include "node/proto/http/tls_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *reason_of(unsigned long code)
{
    const char *text = ERR_reason_error_string(code);
    if (text == NULL && ERR_SYSTEM_ERROR(code)) {
        text = strerror(ERR_GET_REASON(code)); /* such as a file that is not there */
    }
    return text != NULL ? text : "unknown error";
}

/* The certificate must be for this host or address. RFC 6066 allows only names to be announced. */
static bool expect(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

static bool set_authorities(SSL_CTX *context, const char *ca)
{
    return (ca[0] == '\0' ? SSL_CTX_set_default_verify_paths(context)
                          : SSL_CTX_load_verify_locations(context, ca, NULL)) == 1;
}

struct ssl_st *tls_client_new(const char *ca, const char *host, char *error, size_t error_size)
{
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    if (context != NULL && !set_authorities(context, ca)) {
        snprintf(error, error_size, "TLS: cannot use the authorities in %s: %s",
                 ca[0] != '\0' ? ca : "the system's store", reason_of(ERR_get_error()));
        SSL_CTX_free(context);
        return NULL;
    }
    if (context != NULL) {
        SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
        SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
        SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
        ssl = SSL_new(context);
        SSL_CTX_free(context); /* the session holds on to it */
    }
    if (ssl == NULL || !expect(ssl, host)) {
        snprintf(error, error_size, "TLS: %s", reason_of(ERR_get_error()));
        SSL_free(ssl);
        return NULL;
    }
    return ssl;
}

void tls_client_why(struct ssl_st *ssl, unsigned long code, char *text, size_t size)
{
    long verdict = SSL_get_verify_result(ssl);
    if (verdict != X509_V_OK) {
        snprintf(text, size, "TLS: the server's certificate: %s",
                 X509_verify_cert_error_string(verdict));
    } else {
        snprintf(text, size, "TLS: %s", reason_of(code));
    }
}
