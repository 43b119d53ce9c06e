/* SPDX-License-Identifier: MIT */
#include "store/base/backoff.h"
#include "store/base/buf.h"
#include "store/base/check.h"
#include "store/base/chunk.h"
#include "store/base/cursor.h"
#include "store/base/decimal.h"
#include "store/base/entropy.h"
#include "store/base/list.h"
#include "store/base/map.h"
#include "store/base/resp.h"
#include "store/base/ring.h"
#include "tests/unit/cmocka_all.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct item {
    struct map_node node;
    struct list entry;
    char key[16];
};

/* Runs `fn` in a process of its own; true when it was ended by abort(). */
static bool aborts(void (*fn)(void))
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGABRT, SIG_DFL);
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        dup2(nowhere, STDERR_FILENO);
        fn();
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void walk_well(void)
{
    struct list head;
    struct item items[3] = {0};
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        list_push_back(&head, &items[i].entry);
    }
    LIST_EACH(it, &head) {
        list_del(it); /* itself may go */
    }
}

static void walk_badly(void)
{
    struct list head;
    struct item items[3] = {0};
    list_init(&head);
    for (int i = 0; i < 3; i++) {
        list_push_back(&head, &items[i].entry);
    }
    LIST_EACH(it, &head) {
        list_del(&items[1].entry); /* its neighbour may not */
    }
}

static void link_twice(void)
{
    struct list heads[2];
    struct item items[2] = {0};
    list_init(&heads[0]);
    list_init(&heads[1]);
    list_push_back(&heads[0], &items[0].entry);
    list_push_back(&heads[0], &items[1].entry);
    list_push_back(&heads[1], &items[1].entry); /* still in the other one */
    list_del(&items[0].entry);
}

static void push_to_a_broken_ring(void)
{
    struct list head;
    struct item items[3] = {0};
    list_init(&head);
    list_push_back(&head, &items[0].entry);
    list_init(&items[0].entry); /* as if it had been freed and used again */
    list_push_back(&head, &items[1].entry);
}

static void lose_the_place(void)
{
    struct list head;
    struct item items[2] = {0};
    struct cursor cursor;
    list_init(&head);
    list_push_back(&head, &items[0].entry);
    list_push_back(&head, &items[1].entry);
    cursor_begin(&cursor, &head);
    list_del(&items[0].entry); /* the next one, and nobody said so */
    cursor_take(&cursor);
}

static void test_a_broken_ring_is_noticed(void **state)
{
    (void)state;
    assert_true(aborts(link_twice));
    assert_true(aborts(push_to_a_broken_ring));
    assert_true(aborts(lose_the_place));
}

static void test_a_walk_whose_neighbour_goes_is_noticed(void **state)
{
    (void)state;
    assert_false(aborts(walk_well));
    assert_true(aborts(walk_badly));
    assert_int_equal(check_failures(), 0);
    assert_string_equal(check_last(), "");
}

static void test_map_finds_what_was_put_in(void **state)
{
    (void)state;
    enum { N = 1000 };
    static struct item items[N];
    struct map map;
    map_init(&map);
    assert_null(map_find(&map, SPAN("0")));
    for (int i = 0; i < N; i++) {
        snprintf(items[i].key, sizeof(items[i].key), "%d", i);
        map_insert(&map, &items[i].node, span_str(items[i].key));
    }
    assert_int_equal(map.count, N);
    for (int i = 0; i < N; i++) {
        assert_ptr_equal(map_find(&map, span_str(items[i].key)), &items[i].node);
    }
    assert_null(map_find(&map, SPAN("1000")));
    map_deinit(&map);
}

static void test_map_walk_allows_removal(void **state)
{
    (void)state;
    enum { N = 100 };
    static struct item items[N];
    struct map map;
    map_init(&map);
    for (int i = 0; i < N; i++) {
        snprintf(items[i].key, sizeof(items[i].key), "k%d", i);
        map_insert(&map, &items[i].node, span_str(items[i].key));
    }
    int seen = 0;
    MAP_EACH(node, &map) {
        map_remove(&map, node);
        seen++;
    }
    assert_int_equal(seen, N);
    assert_int_equal(map.count, 0);
    assert_null(map_next(&map, NULL));
    map_deinit(&map);
}

static uint32_t insert_numbered(struct map *map, struct item *items, int from, int to)
{
    uint32_t most = 0;
    for (int i = from; i < to; i++) {
        uint32_t unmoved = map_unmoved(map), buckets = map->mask;
        snprintf(items[i].key, sizeof(items[i].key), "n%d", i);
        map_insert(map, &items[i].node, span_str(items[i].key));
        if (map->mask == buckets && unmoved > 0) {
            uint32_t moved = unmoved - map_unmoved(map);
            most = moved > most ? moved : most;
        }
    }
    return most;
}

/* A map of many takes over its nodes in steps when it grows, and all are found meanwhile. */
static void test_a_large_map_grows_in_steps(void **state)
{
    (void)state;
    enum { N = 20000, GROWS_AT = 2049 };
    static struct item items[N];
    struct map map;
    map_init(&map);
    insert_numbered(&map, items, 0, GROWS_AT);
    assert_true(map_unmoved(&map) >= 2048 - 4);
    for (int i = 0; i < GROWS_AT; i++) {
        assert_ptr_equal(map_find(&map, span_str(items[i].key)), &items[i].node);
    }
    int seen = 0;
    MAP_EACH(node, &map) {
        if (seen++ % 2 == 0) {
            map_remove(&map, node);
        }
    }
    assert_int_equal(seen, GROWS_AT);
    assert_int_equal(map.count, GROWS_AT / 2);
    assert_true(insert_numbered(&map, items, GROWS_AT, N) <= 4);
    for (int i = GROWS_AT; i < N; i++) {
        assert_ptr_equal(map_find(&map, span_str(items[i].key)), &items[i].node);
    }
    map_deinit(&map);
}

struct scanning {
    unsigned char *seen;
    struct item *items;
    int most, step;
};

static void on_scanned(void *arg, struct map_node *node)
{
    struct scanning *scanning = arg;
    scanning->seen[CONTAINER_OF(node, struct item, node) - scanning->items] = 1;
    scanning->most = ++scanning->step > scanning->most ? scanning->step : scanning->most;
}

/* Nodes that are there all the time are visited, though the map grows twice during the walk. */
static void test_a_map_may_grow_while_it_is_scanned(void **state)
{
    (void)state;
    enum { FIRST = 3000, N = 15000 };
    static struct item items[N];
    static unsigned char seen[N];
    struct map map;
    struct scanning scanning = {seen, items, 0, 0};
    uint32_t cursor = 0;
    int steps = 0, have = FIRST;
    map_init(&map);
    assert_int_equal(map_scan(&map, 0, on_scanned, &scanning), 0);
    insert_numbered(&map, items, 0, FIRST);
    do {
        scanning.step = 0;
        cursor = map_scan(&map, cursor, on_scanned, &scanning);
        int more = have < N ? have + 5 : N;
        insert_numbered(&map, items, have, more);
        have = more;
        steps++;
    } while (cursor != 0);
    assert_int_equal(have, N);
    assert_true(steps > 2048);
    assert_true(scanning.most < 32);
    for (int i = 0; i < FIRST; i++) {
        assert_int_equal(seen[i], 1);
    }
    map_deinit(&map);
}

static void test_map_takes_any_bytes_as_key(void **state)
{
    (void)state;
    struct item a = {0}, b = {0};
    struct map map;
    map_init(&map);
    map_insert(&map, &a.node, span_of("x\0y", 3));
    map_insert(&map, &b.node, span_of("x\0z", 3));
    assert_ptr_equal(map_find(&map, span_of("x\0y", 3)), &a.node);
    assert_ptr_equal(map_find(&map, span_of("x\0z", 3)), &b.node);
    assert_null(map_find(&map, span_of("x", 1)));
    map_deinit(&map);
}

/* The vectors of the SipHash paper's reference code: key 00..0f, message 00 01 02 ... */
static void test_siphash_matches_the_reference(void **state)
{
    (void)state;
    static const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    char message[15];
    for (size_t i = 0; i < sizeof(message); i++) {
        message[i] = (char)i;
    }
    assert_true(map_siphash(key, span_of(message, 0)) == 0x726fdb47dd0e0e31);
    assert_true(map_siphash(key, span_of(message, 8)) == 0x93f5f5799a932462);
    assert_true(map_siphash(key, span_of(message, 15)) == 0xa129ca6149be45e5);
}

static void test_list_keeps_order(void **state)
{
    (void)state;
    struct item items[3];
    struct list head, other;
    list_init(&head);
    list_init(&other);
    for (int i = 0; i < 3; i++) {
        list_push_back(&head, &items[i].entry);
    }
    list_del(&items[1].entry);
    list_del(&items[1].entry); /* harmless */
    list_splice(&other, &head);
    assert_true(list_empty(&head));
    assert_ptr_equal(LIST_ITEM(other.next, struct item, entry), &items[0]);
    assert_ptr_equal(LIST_ITEM(other.prev, struct item, entry), &items[2]);
    int seen = 0;
    LIST_EACH(it, &other) {
        list_del(it);
        seen++;
    }
    assert_int_equal(seen, 2);
}

static void cursor_remove(struct cursor *cursor, struct item *item)
{
    cursor_leave(cursor, &item->entry);
    list_del(&item->entry);
}

/* The number of the item that is taken; -1: none is left. */
static int take_from(struct cursor *cursor, const struct item *items)
{
    struct list *link = cursor_take(cursor);
    return link != NULL ? (int)(LIST_ITEM(link, struct item, entry) - items) : -1;
}

static void test_a_cursor_keeps_its_place(void **state)
{
    (void)state;
    struct item items[6];
    struct list head, other;
    struct cursor cursor = {0};
    assert_null(cursor_next(&cursor));
    assert_null(cursor_take(&cursor));
    list_init(&head);
    list_init(&other);
    for (int i = 0; i < 5; i++) {
        list_push_back(i < 4 ? &head : &other, &items[i].entry);
    }
    cursor_begin(&cursor, &head);
    assert_int_equal(take_from(&cursor, items), 0);
    cursor_remove(&cursor, &items[0]); /* behind it, */
    cursor_remove(&cursor, &items[1]); /* the next one, */
    cursor_remove(&cursor, &items[4]); /* and one of another list */
    assert_ptr_equal(cursor_next(&cursor), &items[2].entry);
    assert_int_equal(take_from(&cursor, items), 2);
    list_push_back(&head, &items[5].entry); /* before the end is reached: met */
    assert_int_equal(take_from(&cursor, items), 3);
    assert_int_equal(take_from(&cursor, items), 5);
    assert_null(cursor_next(&cursor));
    list_push_back(&head, &items[0].entry); /* behind it: for the next round */
    assert_int_equal(take_from(&cursor, items), -1);
    cursor_begin(&cursor, &head);
    assert_int_equal(take_from(&cursor, items), 2);
    cursor_remove(&cursor, &items[3]);
    cursor_remove(&cursor, &items[5]);
    cursor_remove(&cursor, &items[0]); /* the last one was next */
    assert_int_equal(take_from(&cursor, items), -1);
}

static void test_buf_grows_and_consumes(void **state)
{
    (void)state;
    struct buf buf = {0};
    for (int i = 0; i < 1000; i++) {
        buf_printf(&buf, "%03d,", i);
    }
    assert_int_equal(buf.len, 4000);
    buf_consume(&buf, 3996);
    assert_string_equal(buf_text(&buf), "999,");
    assert_int_equal(buf.len, 4);
    buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
    assert_null(buf.ptr);
}

static void test_span_cut_and_trim(void **state)
{
    (void)state;
    struct span rest = SPAN(" a , b,,c");
    assert_true(span_eq(span_trim(span_cut(&rest, ',')), SPAN("a")));
    assert_true(span_eq(span_trim(span_cut(&rest, ',')), SPAN("b")));
    assert_true(span_eq(span_cut(&rest, ','), SPAN("")));
    assert_true(span_eq(span_cut(&rest, ','), SPAN("c")));
    assert_null(rest.ptr);
    assert_true(span_eq_nocase(SPAN("SetSession"), SPAN("setsession")));
    assert_false(span_eq_nocase(SPAN("SetSession"), SPAN("setsessions")));
}

static void expect_number(const char *text, uint64_t most, bool is_one, uint64_t wanted)
{
    uint64_t number = 99;
    assert_int_equal(decimal_read(span_str(text), most, &number), is_one);
    assert_int_equal(number, wanted);
}

static void test_numbers_are_read_strictly(void **state)
{
    (void)state;
    expect_number("0", 0, true, 0);
    expect_number("1", 0, false, 0);
    expect_number("007", 7, true, 7);
    expect_number("8", 7, false, 0);
    expect_number("65535", UINT16_MAX, true, UINT16_MAX);
    expect_number("65536", UINT16_MAX, false, 0);
    expect_number("18446744073709551615", UINT64_MAX, true, UINT64_MAX);
    expect_number("18446744073709551616", UINT64_MAX, false, 0);
    expect_number("184467440737095516150", UINT64_MAX, false, 0);
    static const char *const bad[] = {"", " 1", "1 ", "+1", "-1", "1x", "/", ":", "\xff"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        expect_number(bad[i], UINT64_MAX, false, 0);
    }
}

static void test_numbers_are_cut_off(void **state)
{
    (void)state;
    struct span rest = SPAN("12 x\n3\n");
    uint64_t number;
    assert_false(decimal_cut(&rest, '\n', &number));
    assert_true(decimal_cut(&rest, ' ', &number));
    assert_int_equal(number, 12);
    assert_false(decimal_cut(&rest, ' ', &number));
    assert_true(span_eq(rest, SPAN("x\n3\n")));
    rest = span_skip(rest, 2);
    assert_true(decimal_cut(&rest, '\n', &number));
    assert_int_equal(number, 3);
    assert_int_equal(rest.len, 0);
    assert_false(decimal_cut(&rest, '\n', &number));
}

static void test_numbers_too_large_are_capped(void **state)
{
    uint64_t number;
    (void)state;
    assert_true(decimal_capped(SPAN("7"), 50, &number) && number == 7);
    assert_true(decimal_capped(SPAN("51"), 50, &number) && number == 50);
    assert_true(decimal_capped(SPAN("99999999999999999999999"), 50, &number) && number == 50);
    assert_false(decimal_capped(SPAN("99999999999999999999999x"), 50, &number));
    assert_false(decimal_capped(SPAN("-1"), 50, &number));
    assert_false(decimal_capped(SPAN(""), 50, &number));
}

/* Pushed and shifted in steps that move the head through all slots, with growth in between. */
static void test_a_ring_keeps_order_and_grows(void **state)
{
    struct ring ring = {0};
    uint64_t in = 0, out = 0;
    (void)state;
    assert_true(ring_full(&ring));
    for (uint32_t step = 1; step < 40; step++) {
        for (uint32_t i = 0; i < step; i++) {
            *(uint64_t *)ring_push(&ring, 4, sizeof(uint64_t)) = in++;
        }
        for (uint32_t i = 0; i < ring.count; i++) {
            assert_int_equal(*(uint64_t *)ring_at(&ring, i, sizeof(uint64_t)), out + i);
        }
        uint32_t gone = ring.count * 2 / 3;
        ring_shift(&ring, gone);
        out += gone;
    }
    assert_int_equal(ring.count, in - out);
    assert_true(ring.mask + 1 >= ring.count && ring.mask < 4 * 40);
    ring_free(&ring);
    assert_null(ring.slots);
}

static void test_backoff_doubles_up_to_its_bound(void **state)
{
    (void)state;
    struct backoff backoff = {.first_ms = 100, .most_ms = 1000};
    static const uint32_t steps[] = {100, 200, 400, 800, 1000, 1000};
    for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++) {
        uint32_t wait = backoff_next(&backoff);
        assert_in_range(wait, steps[i] / 2, steps[i]);
    }
    backoff_reset(&backoff);
    assert_in_range(backoff_next(&backoff), 50, 100);
}

static void test_entropy_differs(void **state)
{
    (void)state;
    char a[17], b[17];
    entropy_hex(a, 16);
    entropy_hex(b, 16);
    assert_int_equal(strspn(a, "0123456789abcdef"), 16);
    assert_string_not_equal(a, b);
    for (int i = 0; i < 1000; i++) {
        assert_true(entropy_below(3) < 3);
    }
}

/* As it is called where there is no memory, by a process whose stderr nobody reads. */
static void die_into(int stderr_to)
{
    dup2(stderr_to, STDERR_FILENO);
    alarm(10);
    mem_exhausted(1);
}

static void test_the_end_waits_for_nobody_who_reads_stderr(void **state)
{
    (void)state;
    char page[4096] = "";
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    fcntl(ends[1], F_SETPIPE_SZ, sizeof(page));
    assert_int_equal(write(ends[1], page, sizeof(page)), sizeof(page));
    pid_t pid = fork();
    if (pid == 0) {
        die_into(ends[1]);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    close(ends[0]);
    close(ends[1]);
}

static void test_words_of_a_command_are_cut_off(void **state)
{
    (void)state;
    struct buf words = {0};
    struct span rest, word;
    chunk_begin(&words);
    resp_word(&words, SPAN("a\r\n$9"));
    resp_number(&words, 305);
    resp_word(&words, SPAN(""));
    struct chunk *chunk = chunk_end(&words);
    rest = span_of(chunk->data, chunk->len);
    for (size_t cut = 0; cut < rest.len; cut++) { /* what is not whole is no word */
        struct span part = span_of(rest.ptr, cut);
        while (resp_cut(&part, &word)) {
        }
        assert_true(part.len > 0 || cut == 0 || cut == 11 || cut == 20);
    }
    assert_true(resp_cut(&rest, &word) && span_eq(word, SPAN("a\r\n$9")));
    assert_true(resp_cut(&rest, &word) && span_eq(word, SPAN("305")));
    assert_true(resp_cut(&rest, &word) && word.len == 0);
    assert_false(resp_cut(&rest, &word));
    static const struct span bad[] = {{"*1\r\na\r\n", 7},
                                      {"$x\r\na\r\n", 7},
                                      {"$18446744073709551615\r\na\r\n", 26},
                                      {"$2\r\na\r\n", 7}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        rest = bad[i];
        assert_false(resp_cut(&rest, &word));
    }
    chunk_unref(chunk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_broken_ring_is_noticed),
        cmocka_unit_test(test_a_walk_whose_neighbour_goes_is_noticed),
        cmocka_unit_test(test_map_finds_what_was_put_in),
        cmocka_unit_test(test_map_walk_allows_removal),
        cmocka_unit_test(test_a_large_map_grows_in_steps),
        cmocka_unit_test(test_a_map_may_grow_while_it_is_scanned),
        cmocka_unit_test(test_map_takes_any_bytes_as_key),
        cmocka_unit_test(test_siphash_matches_the_reference),
        cmocka_unit_test(test_list_keeps_order),
        cmocka_unit_test(test_a_cursor_keeps_its_place),
        cmocka_unit_test(test_buf_grows_and_consumes),
        cmocka_unit_test(test_span_cut_and_trim),
        cmocka_unit_test(test_numbers_are_read_strictly),
        cmocka_unit_test(test_numbers_are_cut_off),
        cmocka_unit_test(test_numbers_too_large_are_capped),
        cmocka_unit_test(test_a_ring_keeps_order_and_grows),
        cmocka_unit_test(test_backoff_doubles_up_to_its_bound),
        cmocka_unit_test(test_words_of_a_command_are_cut_off),
        cmocka_unit_test(test_entropy_differs),
        cmocka_unit_test(test_the_end_waits_for_nobody_who_reads_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
