/* SPDX-License-Identifier: MIT */
#include "node/proto/jwt/jwt.h"

#include "node/proto/json/scan.h"
#include "node/proto/jwt/impl.h"
#include "store/base/utf8.h"

#include <stdlib.h>

enum {
    NUMBER_MOST = 40,
};

static const double time_most = 9e15; /* seconds; below 2^53 */

/* The three parts of a token, as they stand in it. */
struct parts {
    struct span head, body, signature;
};

bool jwt_is_base64url(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_')) {
            return false;
        }
    }
    return text.len > 0 && text.len % 4 != 1;
}

static bool split(struct span token, struct parts *parts)
{
    if (token.len > JWT_TOKEN_LIMIT) {
        return false;
    }
    parts->head = span_cut(&token, '.');
    parts->body = span_cut(&token, '.');
    parts->signature = token;
    return jwt_is_base64url(parts->head) && jwt_is_base64url(parts->body) &&
           parts->signature.ptr != NULL &&
           (parts->signature.len == 0 || jwt_is_base64url(parts->signature));
}

/* Decodes a part to `out`, which must be a JSON object in UTF-8, and finds its fields. */
static bool open_part(struct span part, struct buf *out, struct json_field *fields, size_t count)
{
    return jwt_decode(part, out) && utf8_valid(buf_span(out)) &&
           json_fields(buf_span(out), fields, count) == 0;
}

/* The text of a string field; false when it is none. */
static bool get_text(const struct json_field *field, struct buf *out)
{
    out->len = 0;
    if (field->kind != JSON_KIND_STRING) {
        return false;
    }
    json_unquote(field->raw, out);
    return true;
}

enum head_field { ALG, KID, CRIT, HEAD_FIELDS };

static bool read_head(struct span part, struct jwt_head *head)
{
    struct json_field fields[HEAD_FIELDS] = {
        [ALG] = {.name = "alg"}, [KID] = {.name = "kid"}, [CRIT] = {.name = "crit"}};
    struct buf text = {0};
    bool ok =
        open_part(part, &text, fields, HEAD_FIELDS) &&
        fields[CRIT].kind == JSON_KIND_ABSENT && /* we understand no extension (RFC 7515, 4.1.11) */
        get_text(&fields[ALG], &head->algorithm);
    head->has_kid = ok && get_text(&fields[KID], &head->kid);
    buf_free(&text);
    return ok;
}

/* ---------------------------------------------------------------------------------- claims */

enum claim { SUB, EXP, NBF, AUD, ISS, NICKNAME, CLAIMS };

/* A NumericDate (RFC 7519, 2). false when it is no number. */
static bool get_time(const struct json_field *field, int64_t *seconds)
{
    char text[NUMBER_MOST + 1] = "";
    if (field->kind != JSON_KIND_NUMBER || field->raw.len > NUMBER_MOST) {
        return false;
    }
    memcpy(text, field->raw.ptr, field->raw.len);
    double number = strtod(text, NULL);
    *seconds = (int64_t)(number > time_most ? time_most : number < 0 ? 0 : number);
    return true;
}

static bool is_text(const struct json_field *field, struct span wanted)
{
    struct buf text = {0};
    bool same = get_text(field, &text) && span_eq(buf_span(&text), wanted);
    buf_free(&text);
    return same;
}

/* One string, or a list that has it (RFC 7519, 4.1.3). */
static bool has_audience(const struct json_field *field, const char *wanted)
{
    if (field->kind != JSON_KIND_ARRAY) {
        return is_text(field, span_str(wanted));
    }
    return jwt_list_has(field->raw, wanted);
}

static bool is_printable(struct span text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool take_subject(const struct json_field *field, struct jwt_claims *claims)
{
    struct buf text = {0};
    bool ok = get_text(field, &text) && text.len > 0 && text.len <= JWT_SUBJECT_LIMIT &&
              is_printable(buf_span(&text));
    if (ok) {
        memcpy(claims->subject, text.ptr, text.len);
        claims->subject[text.len] = '\0';
    }
    buf_free(&text);
    return ok;
}

static void take_nickname(const struct json_field *field, struct jwt_claims *claims)
{
    struct buf text = {0};
    if (get_text(field, &text) && is_printable(buf_span(&text))) {
        struct span nickname = utf8_cut(buf_span(&text), JWT_NICKNAME_LIMIT);
        memcpy(claims->nickname, nickname.ptr, nickname.len);
        claims->nickname[nickname.len] = '\0';
    }
    buf_free(&text);
}

static bool is_set(const char *rule)
{
    return rule != NULL && rule[0] != '\0';
}

static bool read_claims(struct span part, const struct jwt_rules *rules, struct buf *text,
                        struct json_field fields[static CLAIMS])
{
    fields[SUB] = (struct json_field){.name = "sub"};
    fields[EXP] = (struct json_field){.name = "exp"};
    fields[NBF] = (struct json_field){.name = "nbf"};
    fields[AUD] = (struct json_field){.name = "aud"};
    fields[ISS] = (struct json_field){.name = "iss"};
    fields[NICKNAME] = (struct json_field){.name = is_set(rules->nickname) ? rules->nickname : ""};
    /* A key is found once: where the nickname is one of the others, it is left out and copied. */
    return open_part(part, text, fields, is_set(rules->nickname) ? CLAIMS : NICKNAME);
}

static const char *complaint(const struct json_field *fields, const struct jwt_rules *rules,
                             int64_t now_s, struct jwt_claims *claims)
{
    int64_t not_before = 0;
    if (!get_time(&fields[EXP], &claims->expires_s)) {
        return "no time at which it expires";
    }
    if (claims->expires_s + rules->leeway_s <= now_s) {
        return "expired";
    }
    if (fields[NBF].kind != JSON_KIND_ABSENT &&
        (!get_time(&fields[NBF], &not_before) || not_before > now_s + rules->leeway_s)) {
        return "not valid yet";
    }
    if (is_set(rules->audience) && !has_audience(&fields[AUD], rules->audience)) {
        return "for another audience";
    }
    if (is_set(rules->issuer) && !is_text(&fields[ISS], span_str(rules->issuer))) {
        return "of another issuer";
    }
    if (!take_subject(&fields[SUB], claims)) {
        return "no subject that can be used";
    }
    return NULL;
}

/* A nickname claim that is one of the registered ones ("sub") was found under that name. */
static const struct json_field *nickname_field(const struct json_field *fields,
                                               const struct jwt_rules *rules)
{
    for (int i = 0; i < NICKNAME; i++) {
        if (strcmp(fields[i].name, rules->nickname) == 0) {
            return &fields[i];
        }
    }
    return &fields[NICKNAME];
}

static enum jwt_result check_claims(struct span part, const struct jwt_rules *rules, int64_t now_s,
                                    struct jwt_claims *claims, const char **why)
{
    struct json_field fields[CLAIMS];
    struct buf text = {0};
    enum jwt_result result = JWT_GOOD;
    if (!read_claims(part, rules, &text, fields)) {
        *why = "its claims are no JSON object";
        result = JWT_UNREADABLE;
    } else if ((*why = complaint(fields, rules, now_s, claims)) != NULL) {
        result = JWT_REFUSED;
    } else if (is_set(rules->nickname)) {
        take_nickname(nickname_field(fields, rules), claims);
    }
    buf_free(&text);
    return result;
}

/* ----------------------------------------------------------------------------------- calls */

enum jwt_result jwt_check(const struct jwt_keys *keys, const struct jwt_rules *rules,
                          struct span token, int64_t now_s, struct jwt_claims *claims,
                          const char **why)
{
    struct parts parts;
    struct jwt_head head = {0};
    enum jwt_result result = JWT_UNREADABLE;
    *claims = (struct jwt_claims){0};
    *why = "not three parts in base64url with a header";
    if (split(token, &parts) && read_head(parts.head, &head)) {
        result = jwt_keys_verify(keys, token, &head, why);
    }
    if (result == JWT_GOOD) {
        result = check_claims(parts.body, rules, now_s, claims, why);
    }
    buf_free(&head.algorithm);
    buf_free(&head.kid);
    return result;
}

bool jwt_peek(struct span token, const struct jwt_rules *rules, struct jwt_claims *claims)
{
    struct json_field fields[CLAIMS];
    struct parts parts;
    struct buf text = {0};
    *claims = (struct jwt_claims){0};
    bool ok = split(token, &parts) && read_claims(parts.body, rules, &text, fields) &&
              take_subject(&fields[SUB], claims);
    if (ok && is_set(rules->nickname)) {
        take_nickname(nickname_field(fields, rules), claims);
    }
    if (ok) {
        get_time(&fields[EXP], &claims->expires_s);
    }
    buf_free(&text);
    return ok;
}
