/* SPDX-License-Identifier: MIT */
#include "store/redis/proof.h"

#include "store/base/clock.h"
#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/base/resp.h"
#include "store/redis/push.h"
#include "store/store_impl.h"

#include <inttypes.h>

enum {
    TOKEN_DIGITS = 16,
    PROOF_PATIENCE = 4, /* limits for which it may be behind what else comes */
};

void redis_proof_name(struct redis_proof *proof, const struct store *store, int tag)
{
    struct buf channel = {0};
    char token[TOKEN_DIGITS + 1];
    redis_proof_forget(proof);
    entropy_hex(token, TOKEN_DIGITS);
    proof->tag = tag;
    buf_append(&channel, span_str(store->prefix));
    if (tag >= 0) {
        buf_printf(&channel, ":{%s}", partition_tag((unsigned)tag));
    }
    buf_printf(&channel, ":proof:%s:%s", store->node, token);
    proof->channel = mem_dup(buf_span(&channel));
    buf_free(&channel);
}

void redis_proof_forget(struct redis_proof *proof)
{
    free(proof->channel);
    proof->channel = NULL;
    proof->hearing = proof->proving = false;
    proof->spoken_us = 0;
}

void redis_proof_listen(struct redis_proof *proof, struct redis_conn *conn, bool sharded)
{
    struct span channel = span_str(proof->channel);
    proof->asked_us = clock_monotonic_us();
    redis_push_subscribe(conn, &channel, 1, sharded, true);
}

void redis_proof_send(const struct redis_proof *proof, struct redis_conn *conn, bool sharded,
                      redis_reply_fn *fn, void *arg)
{
    struct buf command = {0};
    char now[24];
    snprintf(now, sizeof(now), "%" PRIu64, clock_monotonic_us());
    resp_command(&command, 3);
    resp_word(&command, sharded ? SPAN("SPUBLISH") : SPAN("PUBLISH"));
    resp_word(&command, span_str(proof->channel));
    resp_word(&command, span_str(now));
    redis_conn_send(conn, buf_span(&command), fn, arg);
    buf_free(&command);
}

void redis_proof_spoken(struct redis_proof *proof, uint64_t now_us)
{
    if (proof->spoken_us == 0) {
        proof->spoken_us = now_us;
    }
}

uint64_t redis_proof_back(struct redis_proof *proof, struct span payload)
{
    uint64_t sent;
    proof->proved_us = clock_monotonic_us();
    proof->spoken_us = 0;
    proof->proving = false;
    return decimal_read(payload, UINT64_MAX, &sent) ? sent : proof->proved_us;
}

void redis_proof_excuse(struct redis_proof *proof, uint64_t now_us)
{
    proof->proved_us = now_us;
    proof->spoken_us = 0;
}

bool redis_proof_holds(const struct redis_proof *proof, uint64_t limit_us, uint64_t now_us)
{
    return proof->spoken_us == 0 || now_us - proof->spoken_us <= limit_us ||
           (now_us - proof->heard_us <= limit_us &&
            now_us - proof->spoken_us <= PROOF_PATIENCE * limit_us);
}
