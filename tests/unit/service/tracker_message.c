/* SPDX-License-Identifier: MIT */
#include "node/service/tracker/message.h"
#include "tests/unit/cmocka_all.h"

static struct address peer(void)
{
    struct address address;
    assert_int_equal(address_parse_ip(SPAN("192.0.2.7"), &address), 0);
    address.port = 4000;
    return address;
}

static enum tracker_parsed parse(const char *text, struct tracker_request *request)
{
    struct address from = peer();
    memset(request, 0x55, sizeof(*request));
    return tracker_parse(span_str(text), &from, request);
}

static void test_actions(void **state)
{
    static const struct {
        const char *text;
        enum tracker_action action;
    } good[] = {
        {"{\"action\":\"announce\"}", TRACKER_ANNOUNCE},
        {" { \"x\" : [{}] , \"action\" : \"p\\u0075lse\" } ", TRACKER_PULSE},
        {"{\"action\":\"push\",\"action\":\"alive\"}", TRACKER_ALIVE}, /* as in JSON.parse */
        {"{\"action\":\"push\",\"shareId\":\"1AbhoECj\"}", TRACKER_PUSH},
    };
    struct tracker_request request;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(parse(good[i].text, &request), TRACKER_PARSED);
        assert_int_equal(request.action, good[i].action);
        assert_null(request.wrong);
        assert_false(request.override);
        assert_false(request.new_id);
    }
    assert_memory_equal(request.share_id, "1AbhoECj", TRACKER_SHARE_ID);
}

static void test_what_gets_no_answer(void **state)
{
    static const char *const not_json[] = {
        "",
        "x",
        "[]",
        "\"pulse\"",
        "{",
        "{\"action\":\"pulse\"",
        "{\"action\":\"pulse\"} x",
        "{\"action\":\"\xff\"}",
        "{'action':'pulse'}",
    };
    static const char *const no_action[] = {
        "{}",
        "{\"action\":null}",
        "{\"action\":1}",
        "{\"action\":\"\"}",
        "{\"action\":\"Pulse\"}",
        "{\"action\":\"pulse2\"}",
        "{\"data\":{\"action\":\"pulse\"}}",
    };
    struct tracker_request request;
    (void)state;
    for (size_t i = 0; i < sizeof(not_json) / sizeof(*not_json); i++) {
        assert_int_equal(parse(not_json[i], &request), TRACKER_NOT_JSON);
    }
    for (size_t i = 0; i < sizeof(no_action) / sizeof(*no_action); i++) {
        assert_int_equal(parse(no_action[i], &request), TRACKER_NO_ACTION);
    }
}

/* A pulse with these fields beside "action". */
static void pulse(const char *fields, struct tracker_request *request)
{
    struct buf text = {0};
    buf_printf(&text, "{\"action\":\"pulse\",%s}", fields);
    assert_int_equal(parse(buf_text(&text), request), TRACKER_PARSED);
    buf_free(&text);
}

static void test_overrides(void **state)
{
    static const struct {
        const char *fields, *told;
    } good[] = {
        {"\"override\":true,\"ip\":\"1.2.3.4\"", "1.2.3.4:4000"},
        {"\"override\":true,\"port\":23333", "192.0.2.7:23333"},
        {"\"override\":true,\"port\":\"23333\"", "192.0.2.7:23333"},
        {"\"override\":true,\"ip\":\"1.2.3.4\",\"port\":65535", "1.2.3.4:65535"},
        {"\"override\":true,\"ip\":\"2001:DB8:0:0::1\",\"port\":1", "[2001:db8::1]:1"},
        {"\"override\":true,\"ip\":\"::ffff:1.2.3.4\",\"port\":1", "1.2.3.4:1"},
        {"\"override\":true,\"ip\":null,\"port\":9", "192.0.2.7:9"},
        {"\"override\":true,\"ip\":\"x\",\"multiaddr\":\"/ip4/1.2.3.4/udp/5\"",
         "/ip4/1.2.3.4/udp/5"},
        {"\"override\":true,\"multiaddr\":\"a\\u0041\\\"\"", "aA\""},
    };
    struct tracker_request request;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        pulse(good[i].fields, &request);
        assert_null(request.wrong);
        assert_true(request.override);
        assert_true(span_eq(span_of(request.told, request.told_len), span_str(good[i].told)));
    }
    pulse("\"override\":false,\"ip\":\"nonsense\"", &request);
    assert_true(!request.override && request.wrong == NULL);
    pulse("\"override\":null,\"shareId\":true", &request);
    assert_true(!request.override && request.wrong == NULL && request.new_id);
}

static void test_nonsense_is_named(void **state)
{
    static const char *const bad[] = {
        "\"override\":true",
        "\"override\":1,\"ip\":\"1.2.3.4\"",
        "\"override\":\"true\",\"ip\":\"1.2.3.4\"",
        "\"override\":true,\"ip\":\"\"",
        "\"override\":true,\"ip\":\"example.org\"",
        "\"override\":true,\"ip\":\"1.2.3\"",
        "\"override\":true,\"ip\":16909060",
        "\"override\":true,\"ip\":[\"1.2.3.4\"]",
        "\"override\":true,\"ip\":\"1.2.3.4\",\"port\":\"x\"",
        "\"override\":true,\"port\":0",
        "\"override\":true,\"port\":65536",
        "\"override\":true,\"port\":-1",
        "\"override\":true,\"port\":1e3",
        "\"override\":true,\"port\":80.0",
        "\"override\":true,\"port\":\"\"",
        "\"override\":true,\"port\":99999999999999999999",
        "\"override\":true,\"port\":{}",
        "\"override\":true,\"multiaddr\":\"\"",
        "\"override\":true,\"multiaddr\":7",
        "\"override\":true,\"multiaddr\":"
        "\"0123456789012345678901234567890123456789012345678901234567"
        "8901234567890123456789012345678901234567890\"", /* 101 */
        "\"override\":true,\"multiaddr\":"
        "\"\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u"
        "0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\\u0000\"", /* 102 when quoted */
    };
    struct tracker_request request;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        pulse(bad[i], &request);
        assert_non_null(request.wrong);
        assert_false(request.override);
    }
}

static void test_share_ids(void **state)
{
    static const char *const bad[] = {
        "{\"action\":\"push\"}",
        "{\"action\":\"push\",\"shareId\":null}",
        "{\"action\":\"push\",\"shareId\":true}",
        "{\"action\":\"push\",\"shareId\":12345678}",
        "{\"action\":\"push\",\"shareId\":\"1234567\"}",
        "{\"action\":\"push\",\"shareId\":\"123456789\"}",
        "{\"action\":\"push\",\"shareId\":\"1234567 \"}",
        "{\"action\":\"push\",\"shareId\":\"1234567\\u0000\"}",
    };
    struct tracker_request request;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        assert_int_equal(parse(bad[i], &request), TRACKER_PARSED);
        assert_non_null(request.wrong);
    }
    assert_int_equal(parse("{\"action\":\"push\",\"shareId\":\"\\u0031234567z\"}", &request),
                     TRACKER_PARSED);
    assert_null(request.wrong);
    assert_memory_equal(request.share_id, "1234567z", TRACKER_SHARE_ID);
}

static void expect(struct buf *out, const char *text)
{
    assert_string_equal(buf_text(out), text);
    buf_free(out);
}

static void test_answers(void **state)
{
    struct buf out = {0};
    struct span id = SPAN("1AbhoECj"), at = SPAN("1.2.3.4:23333"), none = {NULL, 0};
    (void)state;
    tracker_print_announced(TRACKER_DOCUMENTED, id, &out);
    expect(&out, "{\"action\":\"announceReceived\",\"data\":{\"shareId\":\"1AbhoECj\"}}");
    tracker_print_announced(TRACKER_SOBANI, id, &out);
    expect(&out, "{\"action\":\"announced\",\"data\":{\"shareId\":\"1AbhoECj\"}}");
    tracker_print_pulsed(TRACKER_OK, true, none, NULL, &out);
    expect(&out,
           "{\"action\":\"pulseReceived\",\"data\":{\"status\":\"0\",\"overriden\":\"true\"}}");
    tracker_print_pulsed(TRACKER_BAD_OVERRIDE, false, id, "bad ip", &out);
    expect(&out, "{\"action\":\"pulseReceived\",\"data\":{\"status\":\"2\",\"overriden\":\"false\","
                 "\"shareId\":\"1AbhoECj\",\"error\":\"bad ip\"}}");
    tracker_print_alived(&out);
    expect(&out, "{\"action\":\"alived\"}");
    tracker_print_expired(&out);
    expect(&out, "{\"action\":\"expired\"}");
    tracker_print_pushed(TRACKER_DOCUMENTED, at, id, &out);
    expect(&out, "{\"action\":\"pushReceived\",\"data\":{\"peeraddr\":\"1.2.3.4:23333\"}}");
    tracker_print_pushed(TRACKER_SOBANI, SPAN("\"\n"), id, &out);
    expect(&out, "{\"action\":\"pushed\",\"data\":{\"peeraddr\":\"\\\"\\n\",\"peerShareId\":"
                 "\"1AbhoECj\"}}");
    tracker_print_income(at, id, &out);
    expect(&out, "{\"action\":\"income\",\"data\":{\"peeraddr\":\"1.2.3.4:23333\",\"peerShareId\":"
                 "\"1AbhoECj\"}}");
    tracker_print_error(TRACKER_DOCUMENTED, TRACKER_PUSH, "unknown shareId", &out);
    expect(&out, "{\"action\":\"pushReceived\",\"data\":{\"error\":\"unknown shareId\"}}");
    tracker_print_error(TRACKER_SOBANI, TRACKER_ALIVE, "x", &out);
    expect(&out, "{\"action\":\"alived\",\"data\":{\"error\":\"x\"}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_actions),   cmocka_unit_test(test_what_gets_no_answer),
        cmocka_unit_test(test_overrides), cmocka_unit_test(test_nonsense_is_named),
        cmocka_unit_test(test_share_ids), cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
