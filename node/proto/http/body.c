/* SPDX-License-Identifier: MIT */
/* Request bodies: RFC 9112, 6 and 7.1, without the tolerance that smuggling lives on. */
#include "node/proto/http/impl.h"

/*     HTTP_BODY_SIZE --;--> EXTENSION --CR--> SIZE_LF --> DATA --> DATA_CR --> DATA_LF --> HTTP_BODY_SIZE
 *       \____________CR____________/      \--0--> TRAILER --empty line--> whole          */
enum chunk_state { HTTP_BODY_SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, TRAILER };

/* Of an extension, or of a trailer's line. */
enum chunk_place { LINE_BEGINS, IN_NAME, IN_VALUE, IN_QUOTES };

enum {
    MOST_DIGITS = 15,
    MOST_EXTENSION = 256,
    MOST_TRAILER = 8 * 1024,
    TRUSTED_FROM =
        256 * 1024, /* bytes that came: then the rest that was announced gets room, too */
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool size_step(struct http_chunks *chunks, char c)
{
    int digit = hex_digit(c);
    if (digit >= 0) {
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return ++chunks->digits <= MOST_DIGITS;
    }
    chunks->state = c == ';' ? EXTENSION : SIZE_LF;
    return chunks->digits > 0 && (c == ';' || c == '\r');
}

/* RFC 9112, 7.1.1: ";" name [ "=" token or quoted string ], and again; blanks only within quotes. */
static bool extension_step(struct http_chunks *chunks, char c)
{
    bool token = http_is_token(span_of(&c, 1));
    switch (chunks->place) {
    case LINE_BEGINS:
        chunks->place = IN_NAME;
        return token;
    case IN_NAME:
        chunks->place = c == '=' ? IN_VALUE : c == ';' ? LINE_BEGINS : IN_NAME;
        return token || c == '=' || c == ';';
    case IN_VALUE:
        chunks->place = c == '"' ? IN_QUOTES : c == ';' ? LINE_BEGINS : IN_VALUE;
        return token || c == '"' || c == ';';
    default: /* IN_QUOTES */
        chunks->place = c == '"' ? IN_VALUE : IN_QUOTES;
        return (unsigned char)c >= 0x20 ? c != 0x7f : c == '\t';
    }
}

/* One byte of what stands between the data of two chunks. */
static bool between_step(struct http_chunks *chunks, char c)
{
    switch (chunks->state) {
    case HTTP_BODY_SIZE:
        return size_step(chunks, c);
    case EXTENSION:
        if (c == '\r') {
            chunks->state = SIZE_LF;
            return chunks->place == IN_NAME || chunks->place == IN_VALUE;
        }
        return extension_step(chunks, c) && ++chunks->line <= MOST_EXTENSION;
    case SIZE_LF:
        chunks->state = chunks->left > 0 ? DATA : TRAILER;
        chunks->digits = 0;
        chunks->line = 0;
        chunks->place = LINE_BEGINS;
        return c == '\n';
    case DATA_CR:
        chunks->state = DATA_LF;
        return c == '\r';
    default: /* DATA_LF */
        chunks->state = HTTP_BODY_SIZE;
        return c == '\n';
    }
}

static size_t data_step(struct http_request *request, struct span bytes)
{
    struct http_chunks *chunks = &request->chunks;
    size_t n = bytes.len < chunks->left ? bytes.len : (size_t)chunks->left;
    buf_append(&request->body, span_of(bytes.ptr, n));
    chunks->left -= n;
    if (chunks->left == 0) {
        chunks->state = DATA_CR;
    }
    return n;
}

/* Part of a trailer: are its lines fields, "token:"? */
static bool are_fields(struct http_chunks *chunks, struct span bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        if (c == '\n') {
            chunks->place = LINE_BEGINS;
        } else if (chunks->place == LINE_BEGINS && c != '\r') {
            chunks->place = IN_NAME;
            if (!http_is_token(span_of(&c, 1))) {
                return false;
            }
        } else if (chunks->place == IN_NAME && c == ':') {
            chunks->place = IN_VALUE;
        } else if (chunks->place == IN_NAME && !http_is_token(span_of(&c, 1))) {
            return false;
        }
    }
    return true;
}

/* Trailer fields are read over. */
static struct http_error trailer_step(struct http_request *request, struct span bytes, size_t *used)
{
    struct http_chunks *chunks = &request->chunks;
    long end = http_lines_end(&chunks->lines, bytes);
    size_t n = end > 0 ? (size_t)end : bytes.len;
    chunks->trailer += n;
    if (end < 0 || !are_fields(chunks, span_of(bytes.ptr, n))) {
        return http_error(400, "malformed trailer");
    }
    if (chunks->trailer > MOST_TRAILER) {
        return http_error(431, "the trailer is too large");
    }
    if (end > 0) {
        request->stage = HTTP_AT_END;
    }
    *used += n;
    return HTTP_OK;
}

static struct http_error read_chunked(struct http_request *request, size_t limit, struct span bytes,
                                      size_t *used)
{
    struct http_chunks *chunks = &request->chunks;
    while (*used < bytes.len) {
        if (chunks->state == TRAILER) {
            return trailer_step(request, span_skip(bytes, *used), used);
        }
        if (chunks->state == DATA) {
            *used += data_step(request, span_skip(bytes, *used));
        } else if (!between_step(chunks, bytes.ptr[(*used)++])) {
            return http_error(400, "malformed chunk");
        }
        if (chunks->left > limit - request->body.len) {
            return http_error(413, "the body is too large");
        }
    }
    return HTTP_OK;
}

struct http_error http_body_read(struct http_request *request, size_t limit, struct span bytes,
                                 size_t *used)
{
    *used = 0;
    if (request->stage == HTTP_IN_CHUNKS) {
        return read_chunked(request, limit, bytes, used);
    }
    *used = bytes.len < request->body_left ? bytes.len : (size_t)request->body_left;
    if (request->body.len >= TRUSTED_FROM && request->body.len + *used > request->body.cap) {
        buf_room(&request->body,
                 (size_t)request->body_left); /* it grows once, not again and again */
    }
    buf_append(&request->body, span_of(bytes.ptr, *used));
    request->body_left -= *used;
    if (request->body_left == 0) {
        request->stage = HTTP_AT_END;
    }
    return HTTP_OK;
}
