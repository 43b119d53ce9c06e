/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/record.h"

#include "store/base/decimal.h"
#include "store/base/entropy.h"

struct span tracker_address_key(char key[static KEY_MOST], char kind, const struct address *address)
{
    const char head[] = {'t', 'r', 'a', 'c', 'k', 'e', 'r', ':', kind, ':'};
    memcpy(key, head, sizeof(head));
    tracker_address_pack(address, (unsigned char *)key + sizeof(head));
    return span_of(key, sizeof(head) + ADDRESS_BYTES);
}

struct span tracker_id_key(char key[static KEY_MOST], const char *share_id)
{
    struct span head = SPAN("tracker:s:");
    memcpy(key, head.ptr, head.len);
    memcpy(key + head.len, share_id, TRACKER_SHARE_ID);
    return span_of(key, head.len + TRACKER_SHARE_ID);
}

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

static const char dialects[] = {[TRACKER_DOCUMENTED] = 'd', [TRACKER_SOBANI] = 's'};

/* "<dialect><IP>:<port>", IPv6 in brackets. */
static bool read_spoken(struct span text, struct tracker_record *record)
{
    uint64_t port;
    const char *colon = text.len > 1 ? memrchr(text.ptr, ':', text.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    struct span ip = span_of(text.ptr + 1, (size_t)(colon - text.ptr) - 1);
    if (ip.len > 2 && ip.ptr[0] == '[') {
        ip = span_of(ip.ptr + 1, ip.len - 2);
    }
    record->dialect = text.ptr[0] == dialects[TRACKER_SOBANI] ? TRACKER_SOBANI : TRACKER_DOCUMENTED;
    if (text.ptr[0] != dialects[record->dialect] || address_parse_ip(ip, &record->here) != 0 ||
        !decimal_read(span_skip(text, (size_t)(colon - text.ptr) + 1), UINT16_MAX, &port)) {
        return false;
    }
    record->here.port = (uint16_t)port;
    return true;
}

bool tracker_record_read(struct span text, struct tracker_record *record)
{
    record->id = span_cut(&text, ' ');
    record->node = span_cut(&text, ' ');
    struct span spoken = span_cut(&text, ' ');
    record->told = text;
    return read_spoken(spoken, record) && record->id.len == TRACKER_SHARE_ID &&
           record->node.len > 0 && record->told.len <= TRACKER_TOLD_MOST;
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
    char here[ADDRESS_TEXT];
    size_t len = 0;
    append(out, &len, record->id);
    append(out, &len, SPAN(" "));
    append(out, &len, record->node);
    append(out, &len, SPAN(" "));
    append(out, &len, span_of(&dialects[record->dialect], 1));
    append(out, &len, span_str(address_text(&record->here, here)));
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
