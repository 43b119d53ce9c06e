/* SPDX-License-Identifier: MIT */
#include "node/proto/http/forwarded.h"

#include "tests/unit/cmocka_all.h"

#include <string.h>

static struct cidr_list trusted;

static int set_up(void **state)
{
    struct span wrong;
    (void)state;
    return cidr_list_parse(SPAN("10.0.0.0/8, 2001:db8:ffff::/48"), &trusted, &wrong);
}

static int tear_down(void **state)
{
    (void)state;
    cidr_list_free(&trusted);
    return 0;
}

static void clients(void **state)
{
    static const struct {
        const char *peer, *forwarded, *x, *client;
    } cases[] = {
        /* nobody is believed but those in the list */
        {"192.0.2.9", "", "203.0.113.5", "192.0.2.9:0"},
        {"192.0.2.9", "for=203.0.113.5", "", "192.0.2.9:0"},
        {"10.0.0.1", "", "203.0.113.5", "203.0.113.5:0"},
        {"10.0.0.1", "", "203.0.113.5:4711", "203.0.113.5:4711"},
        /* the last one that is not trusted; what stands before it may be made up */
        {"10.0.0.1", "", "198.51.100.1, 203.0.113.5", "203.0.113.5:0"},
        {"10.0.0.1", "", "198.51.100.1, 203.0.113.5, 10.0.0.2,10.9.9.9", "203.0.113.5:0"},
        {"10.0.0.1", "", "10.0.0.3, 10.0.0.2", "10.0.0.3:0"},
        /* what is no address ends the way */
        {"10.0.0.1", "", "", "10.0.0.1:0"},
        {"10.0.0.1", "", "203.0.113.5, unknown, 10.0.0.2", "10.0.0.2:0"},
        {"10.0.0.1", "", "203.0.113.5,", "10.0.0.1:0"},
        {"10.0.0.1", "", ",,,", "10.0.0.1:0"},
        {"10.0.0.1", "", "2001:db8::7", "[2001:db8::7]:0"},
        {"10.0.0.1", "", "[2001:db8::7]:99, 2001:db8:ffff::1", "[2001:db8::7]:99"},
        {"2001:db8:ffff::1", "", "::ffff:203.0.113.5", "203.0.113.5:0"},
        {"10.0.0.1", "", "203.0.113.5:99999", "203.0.113.5:0"},
        {"10.0.0.1", "", "[", "10.0.0.1:0"},
        {"10.0.0.1", "", "[]:1", "10.0.0.1:0"},
        {"10.0.0.1", "", ":", "10.0.0.1:0"},
        /* quotes that the client left open hide nothing of what proxies added */
        {"10.0.0.1", "", "\", 203.0.113.5", "203.0.113.5:0"},
        {"10.0.0.1", "", "198.51.100.1, \"a, 203.0.113.5, 10.0.0.2", "203.0.113.5:0"},
        {"10.0.0.1", "for=\", for=203.0.113.5", "", "203.0.113.5:0"},
        {"10.0.0.1", "for=\", for=\"[2001:db8::7]:80\"", "", "[2001:db8::7]:80"},
        /* RFC 7239 beside the other: one of them may be the client's own */
        {"10.0.0.1", "for=203.0.113.5", "198.51.100.1", NULL},
        {"10.0.0.1", "for=203.0.113.5", "203.0.113.5:99, 10.0.0.2", "203.0.113.5:0"},
        {"10.0.0.1", "for=203.0.113.5", "10.0.0.2", "203.0.113.5:0"},
        {"10.0.0.1", "for=10.0.0.2", "203.0.113.5", "203.0.113.5:0"},
        {"10.0.0.1", "for=203.0.113.5", "unknown", "203.0.113.5:0"},
        {"10.0.0.1", "For=\"[2001:db8:cafe::17]:4711\";proto=https", "",
         "[2001:db8:cafe::17]:4711"},
        {"10.0.0.1", "for=198.51.100.1, proto=http; by=10.0.0.1 ;for=203.0.113.5", "",
         "203.0.113.5:0"},
        {"10.0.0.1", "for=\"a,b\", for=203.0.113.5, for=10.0.0.2", "", "203.0.113.5:0"},
        {"10.0.0.1", "for=_hidden", "203.0.113.5", "203.0.113.5:0"},
        {"10.0.0.1", "for=_hidden", "", "10.0.0.1:0"},
        {"10.0.0.1", "for=unknown, for=10.0.0.2", "", "10.0.0.2:0"},
        {"10.0.0.1", "proto=https", "", "10.0.0.1:0"},
        {"10.0.0.1", "for=\"", "", "10.0.0.1:0"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct address peer;
        char text[ADDRESS_TEXT];
        assert_int_equal(address_parse_ip(span_str(cases[i].peer), &peer), 0);
        struct address client;
        bool one = http_forwarded_client(&trusted, &peer, span_str(cases[i].forwarded),
                                         span_str(cases[i].x), &client);
        assert_int_equal(one, cases[i].client != NULL);
        if (one) {
            assert_string_equal(address_text(&client, text), cases[i].client);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(clients)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
