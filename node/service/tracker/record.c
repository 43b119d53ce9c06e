/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/record.h"

#include "store/base/entropy.h"

void tracker_address_pack(const struct address *address, unsigned char out[static ADDRESS_BYTES])
{
    memcpy(out, address->ip, sizeof(address->ip));
    out[16] = (unsigned char)(address->port >> 8);
    out[17] = (unsigned char)address->port;
}

int tracker_address_unpack(struct span bytes, struct address *address)
{
    if (bytes.len != ADDRESS_BYTES) {
        return -1;
    }
    const unsigned char *port = (const unsigned char *)bytes.ptr + sizeof(address->ip);
    memcpy(address->ip, bytes.ptr, sizeof(address->ip));
    address->port = (uint16_t)(port[0] << 8 | port[1]);
    return 0;
}

bool tracker_record_read(struct span text, struct tracker_record *record)
{
    record->id = span_cut(&text, ' ');
    record->node = span_cut(&text, ' ');
    record->told = text;
    return record->id.len == TRACKER_SHARE_ID && record->node.len > 0 &&
           record->told.len <= TRACKER_TOLD_MOST;
}

static void append(char out[RECORD_MOST], size_t *len, struct span text)
{
    size_t fits = text.len < RECORD_MOST - *len ? text.len : RECORD_MOST - *len;
    if (fits > 0) {
        memcpy(out + *len, text.ptr, fits);
    }
    *len += fits;
}

struct span tracker_record_print(const struct tracker_record *record, char out[static RECORD_MOST])
{
    size_t len = 0;
    append(out, &len, record->id);
    append(out, &len, SPAN(" "));
    append(out, &len, record->node);
    append(out, &len, SPAN(" "));
    append(out, &len, record->told);
    return span_of(out, len);
}

struct span tracker_record_told(const struct tracker_record *record, const struct address *address,
                                char text[static ADDRESS_TEXT])
{
    return record->told.len > 0 ? record->told : span_str(address_text(address, text));
}

void tracker_ids_init(struct tracker_ids *ids)
{
    ids->used = ENTROPY;
}

void tracker_ids_choose(struct tracker_ids *ids, char out[static TRACKER_SHARE_ID])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 0; i < TRACKER_SHARE_ID;) {
        if (ids->used == ENTROPY) {
            entropy(ids->entropy, ENTROPY);
            ids->used = 0;
        }
        unsigned char byte = ids->entropy[ids->used++];
        if (byte < 248) { /* the largest multiple of 62: the rest would favour some */
            out[i++] = letters[byte % 62];
        }
    }
}
