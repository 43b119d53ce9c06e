/* SPDX-License-Identifier: MIT */
/* redis tls: TLS to a Redis server as a codec: bytes of the wire in, clear bytes out, and the other
 * way round. It touches no socket, so a turn's commands still leave in one write.
 *
 *     wire --feed--> [ OpenSSL ] --open--> clear
 *     wire <-------- [         ] <--seal-- clear
 *
 * TLS 1.2 and later. The certificate of the server is always verified: its chain, its dates, and
 * that it was made for the host (RFC 6125) or IP address. */
#ifndef MUSTER_STORE_REDIS_TLS_H
#define MUSTER_STORE_REDIS_TLS_H

#include "store/base/buf.h"

#include <sys/types.h>

struct redis_tls;

/* Paths of PEM files; each may be NULL. They are read for each new session, so certificates that
 * were renewed on disk count from the next connection on. */
struct redis_tls_files {
    char *ca;        /* authorities to believe; NULL: those of the system */
    char *cert;      /* client certificate, with its chain */
    char *key;       /* its key; NULL: in the same file */
    char *peer_name; /* host that the server's certificate must name; NULL: the host connected to */
};

/* NULL when all files can be used; else which one cannot, "ca", "cert" or "key", with a message. */
const char *redis_tls_wrong_file(const struct redis_tls_files *files, char *error,
                                 size_t error_size) __attribute__((warn_unused_result));

/* New session with `host`. NULL, with a message in `error`, when a file is of no use. */
struct redis_tls *redis_tls_new(const struct redis_tls_files *files, const char *host, char *error,
                                size_t error_size) __attribute__((warn_unused_result));

void redis_tls_free(struct redis_tls **tls);

/* Goes on with the handshake; what is to be sent is appended to `wire`, also at an error.
 * 1: through; 0: the peer has to say more; -1: failed, see redis_tls_error. */
int redis_tls_greet(struct redis_tls *tls, struct buf *wire) __attribute__((warn_unused_result));

/* Takes what came from the peer. */
void redis_tls_feed(struct redis_tls *tls, struct span wire);

/* The next clear bytes: their number, 0 when there are no more for now, -1 when the session is over
 * (see redis_tls_error). Appends to `wire` what TLS itself has to answer. */
ssize_t redis_tls_open(struct redis_tls *tls, char *into, size_t most, struct buf *wire)
    __attribute__((warn_unused_result));

/* Appends `clear`, encrypted, to `wire`. 0, or -1 (see redis_tls_error). */
int redis_tls_seal(struct redis_tls *tls, struct span clear, struct buf *wire)
    __attribute__((warn_unused_result));

/* What went wrong, for a person; borrowed. */
const char *redis_tls_error(const struct redis_tls *tls);

#endif
