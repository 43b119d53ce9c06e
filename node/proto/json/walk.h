/* SPDX-License-Identifier: MIT */
/* json_walk: the parts of an array or object whose text is known to be valid (json_valid,
 * json_fields), in order, without a tree. Of other text they are cut somewhere within it. */
#ifndef MUSTER_NODE_PROTO_JSON_WALK_H
#define MUSTER_NODE_PROTO_JSON_WALK_H

#include "node/proto/json/scan.h"

/* `text` is exactly one JSON value. Where it is not, *at says after how many bytes that shows. */
bool json_valid(struct span text, size_t *at);

/* What kind of value the valid `raw` is, by its first byte. */
enum json_kind json_kind_of(struct span raw);

/* Without the white space around it. */
struct span json_trim(struct span text);

/* What stands between the brackets of a valid array or object. */
struct span json_inside(struct span text);

/* Cuts the next element off *rest, which begins as json_inside of an array; false at the end. */
bool json_next_element(struct span *rest, struct span *raw);

struct json_member {
    struct span name; /* as it stands in the text, quotes and all */
    struct span raw;
    enum json_kind kind;
};

/* The same for an object. */
bool json_next_member(struct span *rest, struct json_member *member);

/* The valid string `raw`, quotes and all, means `name`. */
bool json_name_is(struct span raw, const char *name);

#endif
