/* SPDX-License-Identifier: MIT */
#include "store/lookup.h"

#include "store/lookup_call.h"
#include "store/store_impl.h"

void lookup_finish(struct lookup_call *call, enum lookup_result result, struct span value)
{
    if (value.len > 0 && !wire_cut(&value, call->store->wire)) {
        store_on_unread(call->store, WIRE_KEY, "a value is in a form that this node does not read");
        result = LOOKUP_LOST;
        value = span_of(NULL, 0);
    }
    if (call->then.fn != NULL && !call->store->closing) {
        call->then.fn(call->then.arg, call->then.tag, result, value);
    }
    free(call);
}

/* Puts the form before a value: it lies in `to`, which lives as long as the store. */
static void put_form(const struct store *store, struct buf *to, struct span *value)
{
    to->len = 0;
    buf_printf(to, "%u ", store_wire_now(store));
    buf_append(to, *value);
    *value = buf_span(to);
}

static int send_visit(struct store *store, struct lookup_visit *visit,
                      const struct lookup_then *then)
{
    struct lookup_call *call = mem_alloc(sizeof(*call));
    struct buf *name = &store->lookup_name;
    *call = (struct lookup_call){.store = store, .verb = visit->verb};
    if (then != NULL) {
        call->then = *then;
    }
    unsigned shard = store_shard(store, visit->key);
    name->len = 0;
    partition_key(name, store->prefix, "l", visit->key);
    visit->key = buf_span(name);
    put_form(store, &store->lookup_value, &visit->value);
    put_form(store, &store->lookup_old, &visit->old);
    if (store->backend->ops->lookup(store->backend, shard, visit, call) != 0) {
        free(call);
        return -1;
    }
    return 0;
}

int lookup_get(struct store *store, struct span key, const struct lookup_then *then)
{
    struct lookup_visit visit = {.verb = LOOKUP_GET, .key = key};
    return send_visit(store, &visit, then);
}

int lookup_touch(struct store *store, struct span key, uint64_t life_ms,
                 const struct lookup_then *then)
{
    struct lookup_visit visit = {.verb = LOOKUP_TOUCH, .key = key, .life_ms = life_ms};
    return send_visit(store, &visit, then);
}

int lookup_add(struct store *store, struct span key, struct span value, uint64_t life_ms,
               const struct lookup_then *then)
{
    struct lookup_visit visit = {
        .verb = LOOKUP_ADD, .key = key, .value = value, .life_ms = life_ms};
    return send_visit(store, &visit, then);
}

int lookup_put(struct store *store, struct span key, struct span value, uint64_t life_ms,
               const struct lookup_then *then)
{
    struct lookup_visit visit = {
        .verb = LOOKUP_PUT, .key = key, .value = value, .life_ms = life_ms};
    return send_visit(store, &visit, then);
}

int lookup_swap(struct store *store, struct span key, struct span old, struct span value,
                uint64_t life_ms, const struct lookup_then *then)
{
    struct lookup_visit visit = {
        .verb = LOOKUP_SWAP, .key = key, .value = value, .old = old, .life_ms = life_ms};
    return send_visit(store, &visit, then);
}

int lookup_delete(struct store *store, struct span key, const struct lookup_then *then)
{
    struct lookup_visit visit = {.verb = LOOKUP_DELETE, .key = key};
    return send_visit(store, &visit, then);
}
