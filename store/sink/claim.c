/* SPDX-License-Identifier: MIT */
/* Which stream is stored under the sink's name: two fleets with one database and one prefix would
 * share log_lane, and pass over each other's entries.
 *
 *     the server names its stream --> log_stream_take --ours--> lanes are read
 *                                          '--another fleet's: said, not ready, asked again
 *
 * A server that lost its data has another stream. It is known for the same fleet's by what the
 * stream says it was before, or by this process having seen both; else by the old one not having
 * been seen for some time (migrations/0003_timelines.sql). */
#include "store/sink/impl.h"

#include "store/base/clock.h"

enum {
    CLAIM_MS = 10 * 1000, /* it has to be seen within two minutes */
    CLAIM_SOON_MS = 1000,
};

static void refuse(struct sink_part *part)
{
    struct sink *sink = part->sink;
    struct sink_claim *claim = &part->claim;
    struct buf text = {0};
    buf_printf(&text,
               "the database stores the stream of another fleet under the name %s: give each fleet "
               "a --store-prefix or a database of its own",
               sink->options.stream);
    sink_trouble(sink, &claim->refused, "refused", buf_text(&text));
    buf_free(&text);
    claim->identity[0] = '\0';
}

static void on_claimed(void *arg, const struct postgres_answer *answer)
{
    struct sink_part *part = arg;
    struct sink *sink = part->sink;
    struct sink_claim *claim = &part->claim;
    const char *ours = answer->end == POSTGRES_DONE ? postgres_value(answer, 0) : NULL;
    claim->ask_at_ms = clock_monotonic_ms() + CLAIM_SOON_MS;
    sink_hear(&sink->patience, answer);
    if (ours == NULL) {
        if (answer->end == POSTGRES_FAILED) {
            sink_trouble(sink, &claim->trouble, "the stream's name", answer->text);
        }
        sink_on_progress(sink);
        return;
    }
    sink_trouble(sink, &claim->trouble, "the stream's name", NULL);
    if (ours[0] != 't') {
        refuse(part);
    } else {
        memcpy(claim->identity, claim->asked, sizeof(claim->identity));
        memcpy(claim->seen, claim->asked, sizeof(claim->seen));
        claim->ask_at_ms = clock_monotonic_ms() + CLAIM_MS;
        sink_trouble(sink, &claim->refused, "refused", NULL);
    }
    sink_on_progress(sink);
}

void sink_claim_note(struct sink_part *part, const struct stream_head *head)
{
    struct sink_claim *claim = &part->claim;
    size_t was = head->was.len < sizeof(claim->was) ? head->was.len : 0;
    if (strcmp(claim->wanted, head->history.identity) != 0) {
        claim->ask_at_ms = 0;
    }
    memcpy(claim->wanted, head->history.identity, sizeof(claim->wanted));
    memset(claim->was, 0, sizeof(claim->was));
    if (was > 0) {
        memcpy(claim->was, head->was.ptr, was);
    }
}

void sink_claim_step(struct sink_part *part)
{
    struct sink *sink = part->sink;
    struct sink_claim *claim = &part->claim;
    if (sink->options.store == NULL || sink->stopping || claim->wanted[0] == '\0' ||
        clock_monotonic_ms() < claim->ask_at_ms || !postgres_is_idle(sink->care)) {
        return;
    }
    const char *const words[] = {part->name, claim->wanted, claim->was, claim->seen};
    struct buf sql = {0};
    buf_append(&sql, SPAN("select log_stream_take("));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        buf_append(&sql, i > 0 ? SPAN(", ") : SPAN(""));
        sink_quote(&sql, span_str(words[i]));
    }
    buf_append(&sql, SPAN(")"));
    memcpy(claim->asked, claim->wanted, sizeof(claim->asked));
    claim->ask_at_ms = UINT64_MAX; /* until it is answered */
    sink_await(&sink->patience);
    postgres_query(sink->care, buf_text(&sql), NULL, 0, on_claimed, part);
    buf_free(&sql);
}

bool sink_claim_is_ours(const struct sink_part *part, const struct stream_head *head)
{
    const char *identity = part->claim.identity;
    return identity[0] != '\0' && strcmp(identity, head->history.identity) == 0;
}
