/* SPDX-License-Identifier: MIT */
#include "node/proto/json/scan_impl.h"

/*     START --"--> TEXT --"--> done
 *           --digit--> MINUS, ZERO, INTEGER ... --> done
 *           --t f n--> WORD --> done
 *           --[--> VALUE_OR_END --> (a value) --> AFTER --,--> VALUE ... --]--> done
 *           --{--> KEY_OR_END --"--> KEY_TEXT --"--> COLON --:--> VALUE --> AFTER --,--> NEXT_KEY ... --}--> done
 *
 * done is AFTER inside an array or object, and WHOLE outside. */

/* The letters of true, false and null that follow the first one. `part` is the index of the next.
 */
static const char words[] = "rue\0alse\0ull";
enum { WORD_TRUE = 0, WORD_FALSE = 4, WORD_NULL = 9 };

void json_scan_init(struct json_scan *scan)
{
    *scan = (struct json_scan){0};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static bool inside_object(const struct json_scan *scan)
{
    unsigned level = scan->depth - 1U;
    return (scan->in_object[level / 64] >> (level % 64) & 1) != 0;
}

static bool open_level(struct json_scan *scan, bool object)
{
    if (scan->depth == JSON_SCAN_DEPTH) {
        return false;
    }
    uint64_t bit = (uint64_t)1 << (scan->depth % 64);
    uint64_t *bits = &scan->in_object[scan->depth / 64];
    *bits = object ? *bits | bit : *bits & ~bit;
    scan->depth++;
    scan->state = object ? JSON_KEY_OR_END : JSON_VALUE_OR_END;
    return true;
}

static void value_done(struct json_scan *scan)
{
    scan->state = scan->depth > 0 ? JSON_AFTER : JSON_WHOLE;
}

static bool close_level(struct json_scan *scan, bool object)
{
    if (inside_object(scan) != object) {
        return false;
    }
    scan->depth--;
    value_done(scan);
    return true;
}

static bool start_word(struct json_scan *scan, uint8_t first)
{
    scan->state = JSON_WORD;
    scan->part = first;
    return true;
}

static bool start_value(struct json_scan *scan, char c)
{
    switch (c) {
    case '"':
        scan->state = JSON_TEXT;
        return true;
    case '{':
    case '[':
        return open_level(scan, c == '{');
    case '-':
        scan->state = JSON_MINUS;
        return true;
    case 't':
        return start_word(scan, WORD_TRUE);
    case 'f':
        return start_word(scan, WORD_FALSE);
    case 'n':
        return start_word(scan, WORD_NULL);
    default:
        scan->state = c == '0' ? JSON_ZERO : JSON_INTEGER;
        return is_digit(c);
    }
}

static bool start_key(struct json_scan *scan, char c)
{
    scan->state = JSON_KEY_TEXT;
    return c == '"';
}

static bool after_value(struct json_scan *scan, char c)
{
    if (c == ',') {
        scan->state = inside_object(scan) ? JSON_NEXT_KEY : JSON_VALUE;
        return true;
    }
    return (c == ']' || c == '}') && close_level(scan, c == '}');
}

/* Between tokens, where white space is passed over. */
static bool structure(struct json_scan *scan, char c)
{
    switch (scan->state) {
    case JSON_START:
    case JSON_VALUE:
        return start_value(scan, c);
    case JSON_VALUE_OR_END:
        return c == ']' ? close_level(scan, false) : start_value(scan, c);
    case JSON_KEY_OR_END:
        return c == '}' ? close_level(scan, true) : start_key(scan, c);
    case JSON_NEXT_KEY:
        return start_key(scan, c);
    case JSON_COLON:
        scan->state = JSON_VALUE;
        return c == ':';
    default: /* JSON_AFTER */
        return after_value(scan, c);
    }
}

/* `part` counts the hexadecimal digits still to come; in a key its top bit is set. */
static bool escape(struct json_scan *scan, char c)
{
    bool key = scan->state == JSON_KEY_ESCAPE;
    if (c == 'u') {
        scan->state = key ? JSON_KEY_HEX : JSON_HEX;
        scan->part = 4;
        return true;
    }
    scan->state = key ? JSON_KEY_TEXT : JSON_TEXT;
    return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
}

static bool hex(struct json_scan *scan, char c)
{
    if (--scan->part == 0) {
        scan->state = scan->state == JSON_KEY_HEX ? JSON_KEY_TEXT : JSON_TEXT;
    }
    return is_hex(c);
}

static bool word(struct json_scan *scan, char c)
{
    if (c != words[scan->part++]) {
        return false;
    }
    if (words[scan->part] == '\0') {
        value_done(scan);
    }
    return true;
}

/* The state that follows `c` within a number, or JSON_START when `c` is no part of it. */
static enum json_state in_number(enum json_state state, char c)
{
    bool digit = is_digit(c);
    switch (state) {
    case JSON_MINUS:
        return c == '0' ? JSON_ZERO : digit ? JSON_INTEGER : JSON_START;
    case JSON_INTEGER:
        if (digit) {
            return JSON_INTEGER;
        } /* fall through */
    case JSON_ZERO:
        return c == '.' ? JSON_POINT : c == 'e' || c == 'E' ? JSON_E : JSON_START;
    case JSON_POINT:
        return digit ? JSON_FRACTION : JSON_START;
    case JSON_FRACTION:
        return digit ? JSON_FRACTION : c == 'e' || c == 'E' ? JSON_E : JSON_START;
    case JSON_E:
        return digit ? JSON_EXPONENT : c == '+' || c == '-' ? JSON_E_SIGN : JSON_START;
    default: /* JSON_E_SIGN, JSON_EXPONENT */
        return digit ? JSON_EXPONENT : JSON_START;
    }
}

static bool number_may_end(uint8_t state)
{
    return state == JSON_ZERO || state == JSON_INTEGER || state == JSON_FRACTION ||
           state == JSON_EXPONENT;
}

static bool text(struct json_scan *scan, char c)
{
    bool key = scan->state == JSON_KEY_TEXT;
    if (c == '\\') {
        scan->state = key ? JSON_KEY_ESCAPE : JSON_ESCAPE;
    } else if (c == '"' && key) {
        scan->state = JSON_COLON;
    } else if (c == '"') {
        value_done(scan);
    } else {
        return false;
    }
    return true;
}

/* One step: takes a run of bytes from the front of `rest`. How many (0: a number ended before the
 * first one), or -1. */
static long step(struct json_scan *scan, struct span rest)
{
    char c = rest.ptr[0];
    size_t run;
    bool ok;
    switch (scan->state) {
    case JSON_TEXT:
    case JSON_KEY_TEXT:
        run = json_plain_run(rest);
        return run > 0 ? (long)run : text(scan, c) ? 1 : -1;
    case JSON_ESCAPE:
    case JSON_KEY_ESCAPE:
        ok = escape(scan, c);
        break;
    case JSON_HEX:
    case JSON_KEY_HEX:
        ok = hex(scan, c);
        break;
    case JSON_WORD:
        ok = word(scan, c);
        break;
    default:
        ok = json_is_space(c) || structure(scan, c);
        break;
    }
    return ok ? 1 : -1;
}

static long number_step(struct json_scan *scan, char c)
{
    enum json_state next = in_number((enum json_state)scan->state, c);
    if (next != JSON_START) {
        scan->state = (uint8_t)next;
        return 1;
    }
    if (!number_may_end(scan->state)) {
        return -1;
    }
    value_done(scan);
    return 0;
}

int json_scan_advance(struct json_scan *scan, struct span bytes, unsigned stop_depth, size_t *used)
{
    *used = 0;
    while (scan->state != JSON_WHOLE && *used < bytes.len) {
        uint8_t before = scan->state, depth_before = scan->depth;
        struct span rest = span_skip(bytes, *used);
        long took = json_in_number(before) ? number_step(scan, rest.ptr[0]) : step(scan, rest);
        if (took < 0) {
            return -1;
        }
        *used += (size_t)took;
        bool token = scan->state == JSON_AFTER || scan->state == JSON_COLON;
        bool moved = scan->state != before || scan->depth != depth_before;
        if (token && moved && scan->depth <= stop_depth) {
            return 2;
        }
    }
    return scan->state == JSON_WHOLE ? 1 : 0;
}

int json_scan_feed(struct json_scan *scan, struct span bytes, size_t *used)
{
    return json_scan_advance(scan, bytes, 0, used);
}

bool json_scan_end(const struct json_scan *scan)
{
    return scan->state == JSON_WHOLE || (scan->depth == 0 && number_may_end(scan->state));
}

bool json_scan_idle(const struct json_scan *scan)
{
    return scan->state == JSON_START;
}
