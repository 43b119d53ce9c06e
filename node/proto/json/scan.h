/* SPDX-License-Identifier: MIT */
/* json_scan: strict JSON (RFC 8259) without a tree: a resumable check that finds where a value
 * ends, and a look at the top level of an object. No allocation, each byte seen once. Text is taken
 * to be UTF-8 already where it came from a WebSocket; the scanner itself checks only what JSON
 * says. */
#ifndef MUSTER_NODE_PROTO_JSON_SCAN_H
#define MUSTER_NODE_PROTO_JSON_SCAN_H

#include "store/base/buf.h"
#include "store/base/span.h"

#include <stdbool.h>
#include <stdint.h>

enum { JSON_SCAN_DEPTH = 128 };

/* One value, fed in pieces of any size. Open to be kept inside other objects; its fields are its
 * own. */
struct json_scan {
    uint64_t in_object[JSON_SCAN_DEPTH / 64]; /* per level: object (1) or array (0) */
    uint8_t depth;
    uint8_t state;
    uint8_t part; /* progress inside a literal, number or escape */
};

void json_scan_init(struct json_scan *scan);

/* Takes bytes up to the end of the value. Below 0: not JSON, or nested deeper than JSON_SCAN_DEPTH;
 * 0: all taken, more is needed; above 0: the value is complete. *used: how many bytes were taken
 * (white space before the value counts, what follows it does not). A number at top level ends only
 * with json_scan_end. */
int json_scan_feed(struct json_scan *scan, struct span bytes, size_t *used)
    __attribute__((warn_unused_result));

/* The input ends here: true when what was fed is one complete value. */
bool json_scan_end(const struct json_scan *scan);

/* True before the first byte of a value (only white space was fed). */
bool json_scan_idle(const struct json_scan *scan);

enum json_kind {
    JSON_KIND_ABSENT,
    JSON_KIND_NULL,
    JSON_KIND_FALSE,
    JSON_KIND_TRUE,
    JSON_KIND_NUMBER,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT
};

struct json_field {
    const char *name;    /* in: the key, compared with its escapes resolved */
    enum json_kind kind; /* out */
    struct span raw;     /* out: the value as it stands in the text, a string with its quotes */
    size_t at;           /* where in the text; its own */
};

/* Finds `count` fields at the top level of the object `text`; where a key stands twice the last one
 * counts, as in JSON.parse. 0, or -1 when `text` is not exactly one valid JSON object. */
int json_fields(struct span text, struct json_field *fields, size_t count)
    __attribute__((warn_unused_result));

/* What was looked at of a text that is still coming in: it is not looked at again. NULL: nothing, and
 * most texts come in at once. */
struct json_coming;

/* `so_far`: all of the text that is there, wherever it lies now. `asked`, the fields to be found, is copied
 * with the first part. */
void json_coming_feed(struct json_coming **coming, const struct json_field *asked, size_t count,
                      struct span so_far);

/* `text` is all there is: the answer of json_fields, whose `fields` become `asked` first. Frees. */
int json_coming_end(struct json_coming **coming, const struct json_field *asked, size_t count,
                    struct span text, struct json_field *fields)
    __attribute__((warn_unused_result));

/* Frees; NULL inside is fine. */
void json_coming_free(struct json_coming **coming);

/* Appends the object `text` with member `name` set to `value` (JSON text): it comes first, and what
 * stood under that name before goes, however often; other members are kept byte for byte. 0, or -1
 * when `text` is not exactly one valid JSON object (part of it may be in `out` then). */
int json_set(struct span text, const char *name, struct span value, struct buf *out)
    __attribute__((warn_unused_result));

/* Appends what the string `raw` (quotes and all, valid) means, as UTF-8, to `out`. Lone surrogates
 * become U+FFFD. */
void json_unquote(struct span raw, struct buf *out);

/* The same, but no more than `most` bytes and the rest of a character: for what has a bound, so that what
 * is beyond it costs nothing. */
void json_unquote_cut(struct span raw, size_t most, struct buf *out);

/* Appends `text` as a JSON string, quotes and all, to `out`. Bytes that are no UTF-8 become U+FFFD.
 */
void json_quote(struct span text, struct buf *out);

/* The same for people to see: at most `most` bytes of it, no half character, and "…" behind what
 * was cut; so at most 6 times `most` bytes and some. */
void json_quote_cut(struct span text, size_t most, struct buf *out);

#endif
