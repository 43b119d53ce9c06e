/* SPDX-License-Identifier: MIT */
#include "node/proto/proxy.h"

#include "tests/unit/cmocka_all.h"

#define V2 "\r\n\r\n\0\r\nQUIT\n"

struct seen {
    int rc;
    size_t used;
    bool known;
    char source[ADDRESS_TEXT], destination[ADDRESS_TEXT];
};

/* Reads it whole, after every shorter piece asked for more (or said no). */
static struct seen read_all(struct span bytes)
{
    struct proxy proxy;
    struct seen seen = {0};
    for (size_t len = 0; len < bytes.len && seen.rc == 0; len++) {
        seen.rc = proxy_read(span_of(bytes.ptr, len), &proxy, &seen.used);
    }
    if (seen.rc == 0) {
        seen.rc = proxy_read(bytes, &proxy, &seen.used);
    }
    if (seen.rc > 0) {
        seen.known = proxy.known;
        address_text(&proxy.source, seen.source);
        address_text(&proxy.destination, seen.destination);
    }
    return seen;
}

static void expect(struct span bytes, const char *source, const char *destination)
{
    struct seen seen = read_all(bytes);
    assert_int_equal(seen.rc, 1);
    assert_int_equal(seen.used, bytes.len);
    assert_int_equal(seen.known, source != NULL);
    if (source != NULL) {
        assert_string_equal(seen.source, source);
        assert_string_equal(seen.destination, destination);
    }
}

static void text_form(void **state)
{
    (void)state;
    expect(SPAN("PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\n"), "192.0.2.7:56324",
           "198.51.100.1:443");
    expect(SPAN("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n"), "[2001:db8::1]:0", "[::1]:65535");
    expect(SPAN("PROXY UNKNOWN\r\n"), NULL, NULL);
    expect(SPAN("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), NULL, NULL);
}

static void binary_form(void **state)
{
    (void)state;
    expect(SPAN(V2 "\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
           "192.0.2.7:56324", "198.51.100.1:443");
    /* with a TLV behind it */
    expect(SPAN(V2 "\x21\x11\x00\x10\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\x00\x01z"),
           "192.0.2.7:56324", "198.51.100.1:443");
    expect(SPAN(V2 "\x21\x21\x00\x24"
                   "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01"
                   "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50\x01\xbb"),
           "[2001:db8::1]:80", "[::1]:443");
    expect(SPAN(V2 "\x20\x00\x00\x00"), NULL, NULL);    /* LOCAL: a health check */
    expect(SPAN(V2 "\x21\x00\x00\x03xyz"), NULL, NULL); /* family unspecified */
    expect(SPAN(V2 "\x20\x11\x00\x02zz"), NULL, NULL);  /* LOCAL: the addresses do not count */
}

static void what_follows_is_left(void **state)
{
    (void)state;
    struct proxy proxy;
    size_t used;
    struct span line = SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n{\"type\":\r\n");
    assert_int_equal(proxy_read(line, &proxy, &used), 1);
    assert_int_equal(used, 32);
}

static void malformed(void **state)
{
    (void)state;
    static const struct span bad[] = {
        SPAN("GET / HTTP/1.1\r\n"),
        SPAN("{\"type\":\"handshake\"}"),
        SPAN("PROXY\r\n"),
        SPAN("PROXY \r\n"),
        SPAN("PROXY TCP4\r\n"),
        SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n"),
        SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 1 \r\n"),
        SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n"),
        SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 1 65536\r\n"),
        SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 01 2\r\n"),
        SPAN("PROXY TCP4 1.2.3.4 5.6.7.8 -1 2\r\n"),
        SPAN("PROXY TCP4 1.2.3.400 5.6.7.8 1 2\r\n"),
        SPAN("PROXY TCP4 ::1 ::1 1 2\r\n"),
        SPAN("PROXY TCP6 1.2.3.4 5.6.7.8 1 2\r\n"),
        SPAN("PROXY TCP4  1.2.3.4 5.6.7.8 1 2\r\n"),
        SPAN("PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n"),
        SPAN("PROXY tcp4 1.2.3.4 5.6.7.8 1 2\r\n"),
        SPAN(V2 "\x11\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
        SPAN(V2 "\x22\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01\xbb"),
        SPAN(V2 "\x21\x11\x00\x0b\xc0\x00\x02\x07\xc6\x33\x64\x01\xdc\x04\x01"),
        SPAN(V2 "\x21\x11\xff\xff"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_true(read_all(bad[i]).rc < 0);
    }
}

static void an_endless_line_is_malformed(void **state)
{
    (void)state;
    char line[200];
    struct proxy proxy;
    size_t used;
    memset(line, 'x', sizeof(line));
    memcpy(line, "PROXY UNKNOWN ", 14);
    assert_int_equal(proxy_read(span_of(line, 106), &proxy, &used), 0);
    assert_true(proxy_read(span_of(line, 107), &proxy, &used) < 0);
    assert_true(proxy_read(span_of(line, sizeof(line)), &proxy, &used) < 0);
}

/* One byte at a time, and with bytes of the client behind it in the last piece. */
static void gathered_in_pieces(void **state)
{
    static const struct span sent = {"PROXY TCP4 192.0.2.7 198.51.100.1 56324 443\r\nGET", 48};
    size_t header = sent.len - 3;
    (void)state;
    for (size_t piece = 1; piece <= sent.len; piece++) {
        struct buf head = {0};
        struct proxy proxy;
        size_t at = 0, taken = 0;
        int rc = 0;
        while (rc == 0) {
            size_t len = sent.len - at < piece ? sent.len - at : piece;
            rc = proxy_gather(&head, span_of(sent.ptr + at, len), &proxy, &taken);
            at += taken;
        }
        assert_true(rc > 0 && proxy.known);
        assert_int_equal(at, header);
        assert_int_equal(head.len, 0);
    }
    struct buf head = {0};
    struct proxy proxy;
    size_t taken;
    assert_true(proxy_gather(&head, SPAN("GET / HTTP/1.1"), &proxy, &taken) < 0);
    assert_int_equal(head.len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_form),
        cmocka_unit_test(binary_form),
        cmocka_unit_test(what_follows_is_left),
        cmocka_unit_test(malformed),
        cmocka_unit_test(an_endless_line_is_malformed),
        cmocka_unit_test(gathered_in_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
