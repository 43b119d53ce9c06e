/* SPDX-License-Identifier: MIT */
#include "store/redis/tls.h"

#include "store/base/mem.h"

#include <arpa/inet.h>
#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { ERROR_TEXT = 256 };

struct redis_tls {
    SSL *ssl;      /* owns both ends: */
    BIO *in, *out; /* the wire, in memory */
    char error[ERROR_TEXT];
};

static const char *reason(void)
{
    unsigned long code = ERR_get_error();
    const char *text = ERR_reason_error_string(code);
    if (text == NULL && ERR_SYSTEM_ERROR(code)) {
        text = strerror(ERR_GET_REASON(code));
    }
    return text != NULL ? text : "unknown error";
}

/* ------------------------------------------------------------------------------------ files */

static int refuse(char *error, size_t error_size, const char *what, const char *path)
{
    snprintf(error, error_size, "TLS: cannot use the %s in %s: %s", what, path, reason());
    return -1;
}

static int load_authorities(SSL_CTX *context, const struct redis_tls_files *files, char *error,
                            size_t error_size)
{
    if (files->ca == NULL) {
        return SSL_CTX_set_default_verify_paths(context) == 1
                   ? 0
                   : refuse(error, error_size, "authorities", "the system's store");
    }
    return SSL_CTX_load_verify_locations(context, files->ca, NULL) == 1
               ? 0
               : refuse(error, error_size, "authorities", files->ca);
}

static int load_certificate(SSL_CTX *context, const struct redis_tls_files *files, char *error,
                            size_t error_size)
{
    if (files->cert == NULL) {
        return 0;
    }
    return SSL_CTX_use_certificate_chain_file(context, files->cert) == 1
               ? 0
               : refuse(error, error_size, "client certificate", files->cert);
}

static int load_key(SSL_CTX *context, const struct redis_tls_files *files, char *error,
                    size_t error_size)
{
    const char *key = files->key != NULL ? files->key : files->cert;
    if (key == NULL) {
        return 0;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(context) != 1) {
        return refuse(error, error_size, "client key", key);
    }
    return 0;
}

static int no_passphrase(char *into, int size, int writing, void *arg)
{
    (void)into, (void)size, (void)writing, (void)arg;
    return -1; /* a server has no user to ask */
}

static const char *load_files(SSL_CTX *context, const struct redis_tls_files *files, char *error,
                              size_t error_size)
{
    return load_authorities(context, files, error, error_size) != 0   ? "ca"
           : load_certificate(context, files, error, error_size) != 0 ? "cert"
           : load_key(context, files, error, error_size) != 0         ? "key"
                                                                      : NULL;
}

/* `wrong`: the file that cannot be used, when that is what it fails for. */
static SSL_CTX *new_context(const struct redis_tls_files *files, const char **wrong, char *error,
                            size_t error_size)
{
    *wrong = NULL;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) {
        snprintf(error, error_size, "TLS: %s", reason());
        return NULL;
    }
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_passwd_cb(context, no_passphrase);
    *wrong = load_files(context, files, error, error_size);
    if (*wrong != NULL) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* ------------------------------------------------------------------------------------ session */

/* The certificate must be for this host or address. RFC 6066 allows only names to be announced. */
static bool expect(SSL *ssl, const char *host)
{
    unsigned char address[sizeof(struct in6_addr)];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    char *name = mem_dup(span_str(host));
    bool set = SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
    free(name);
    return set;
}

static bool open_session(struct redis_tls *tls, SSL_CTX *context, const char *host)
{
    tls->ssl = SSL_new(context);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL) {
        BIO_free(tls->in);
        BIO_free(tls->out);
        return false;
    }
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    return expect(tls->ssl, host);
}

const char *redis_tls_wrong_file(const struct redis_tls_files *files, char *error,
                                 size_t error_size)
{
    const char *wrong;
    SSL_CTX *context = new_context(files, &wrong, error, error_size);
    SSL_CTX_free(context);
    return wrong;
}

struct redis_tls *redis_tls_new(const struct redis_tls_files *files, const char *host, char *error,
                                size_t error_size)
{
    ERR_clear_error();
    const char *wrong;
    SSL_CTX *context = new_context(files, &wrong, error, error_size);
    if (context == NULL) {
        return NULL;
    }
    struct redis_tls *tls = mem_zalloc(sizeof(*tls));
    if (!open_session(tls, context, files->peer_name != NULL ? files->peer_name : host)) {
        snprintf(error, error_size, "TLS: %s", reason());
        redis_tls_free(&tls);
    }
    SSL_CTX_free(context); /* the session holds on to it */
    return tls;
}

void redis_tls_free(struct redis_tls **tls)
{
    if (*tls != NULL) {
        SSL_free((*tls)->ssl);
        free(*tls);
        *tls = NULL;
    }
}

static int fail(struct redis_tls *tls, int result)
{
    long verdict = SSL_get_verify_result(tls->ssl);
    if (SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN) {
        snprintf(tls->error, sizeof(tls->error), "the server closed the connection");
    } else if (verdict != X509_V_OK) {
        snprintf(tls->error, sizeof(tls->error), "TLS: the server's certificate: %s",
                 X509_verify_cert_error_string(verdict));
    } else {
        snprintf(tls->error, sizeof(tls->error), "TLS: %s", reason());
    }
    return -1;
}

/* Moves what TLS wants to say to the wire. */
static void drain(struct redis_tls *tls, struct buf *wire)
{
    size_t waiting = BIO_ctrl_pending(tls->out);
    if (waiting > 0 && waiting <= INT_MAX) {
        int n = BIO_read(tls->out, buf_room(wire, waiting), (int)waiting);
        buf_grew(wire, n > 0 ? (size_t)n : 0);
    }
}

int redis_tls_greet(struct redis_tls *tls, struct buf *wire)
{
    ERR_clear_error();
    int result = SSL_do_handshake(tls->ssl);
    drain(tls, wire);
    if (result == 1) {
        return 1;
    }
    return SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ ? 0 : fail(tls, result);
}

void redis_tls_feed(struct redis_tls *tls, struct span wire)
{
    BIO_write(tls->in, wire.ptr, (int)wire.len); /* memory: takes all */
}

ssize_t redis_tls_open(struct redis_tls *tls, char *into, size_t most, struct buf *wire)
{
    size_t got = 0;
    ERR_clear_error();
    int result = SSL_read_ex(tls->ssl, into, most, &got);
    drain(tls, wire);
    if (result == 1) {
        return (ssize_t)got;
    }
    return SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ ? 0 : fail(tls, result);
}

int redis_tls_seal(struct redis_tls *tls, struct span clear, struct buf *wire)
{
    size_t taken = 0;
    if (clear.len == 0) {
        return 0;
    }
    ERR_clear_error();
    int result = SSL_write_ex(tls->ssl, clear.ptr, clear.len, &taken);
    drain(tls, wire);
    return result == 1 ? 0 : fail(tls, result);
}

const char *redis_tls_error(const struct redis_tls *tls)
{
    return tls->error;
}
