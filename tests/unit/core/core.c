/* SPDX-License-Identifier: MIT */
#include "node/core/loop.h"
#include "node/core/metrics.h"
#include "node/core/name.h"
#include "node/core/settings.h"
#include "node/core/wheel.h"
#include "store/base/clock.h"
#include "tests/unit/cmocka_all.h"

#include <stdio.h>
#include <unistd.h>

/* ------------------------------------------------------------------------------------ settings */

static int accept_text(const char *text, char *error, size_t error_size)
{
    snprintf(error, error_size, "'%s' is bad", text);
    return strcmp(text, "bad") == 0 ? -1 : 0;
}

static int read_settings(struct settings *settings, const char *const args[],
                         const char *const env[], char error[256])
{
    error[0] = '\0';
    static const struct settings_checks checks = {.bind = accept_text, .store = accept_text};
    return settings_read(settings, args, env, &checks, error, 256);
}

static const char *const no_words[] = {NULL};

static void test_settings_have_defaults(void **state)
{
    (void)state;
    struct settings settings;
    char error[256];
    assert_int_equal(read_settings(&settings, no_words, no_words, error), 0);
    assert_string_equal(settings.http, "0.0.0.0:8080");
    assert_string_equal(settings.store, "memory:");
    assert_int_equal(settings.lease, 3000);
    assert_int_equal(settings.message_limit, 256 * 1024);
    assert_int_equal(settings.env, ENV_DEVELOPMENT);
    settings_deinit(&settings);
}

static void test_flags_win_over_environment(void **state)
{
    (void)state;
    struct settings settings;
    char error[256];
    const char *args[] = {"--lease=2s", "--http", "127.0.0.1:0", NULL};
    const char *env[] = {"MUSTER_LEASE=3s", "MUSTER_STORE_PREFIX=x", "SG_ENV=production", "HOME=/",
                         NULL};
    assert_int_equal(read_settings(&settings, args, env, error), 0);
    assert_int_equal(settings.lease, 2000);
    assert_string_equal(settings.http, "127.0.0.1:0");
    assert_string_equal(settings.store_prefix, "x");
    assert_int_equal(settings.env, ENV_PRODUCTION);
    settings_deinit(&settings);
}

static void expect_error(const char *const args[], const char *const env[],
                         const char *error_wanted)
{
    struct settings settings;
    char error[256];
    assert_int_equal(read_settings(&settings, args, env, error), -1);
    assert_string_equal(error, error_wanted);
    settings_deinit(&settings);
}

static void test_bad_settings_are_named(void **state)
{
    (void)state;
    expect_error((const char *[]){"--leas", "1s", NULL}, no_words,
                 "--leas: no such flag; did you mean --lease?");
    expect_error((const char *[]){"--lease", NULL}, no_words, "--lease: a value is missing");
    expect_error((const char *[]){"--lease", "soon", NULL}, no_words,
                 "--lease: 'soon' is no duration such as 250ms, 10s, 5m or 24h");
    expect_error((const char *[]){"--lease", "10", NULL}, no_words,
                 "--lease: '10' is no duration such as 250ms, 10s, 5m or 24h");
    expect_error((const char *[]){"--lease", "250ms", NULL}, no_words,
                 "--lease: must be from 1s to 1h");
    expect_error((const char *[]){"--lease", "99999999999999999999s", NULL}, no_words,
                 "--lease: '99999999999999999999s' is no duration such as 250ms, 10s, 5m or 24h");
    expect_error((const char *[]){"--message-limit", "-1", NULL}, no_words,
                 "--message-limit: '-1' is no size such as 512, 64k or 1m");
    expect_error((const char *[]){"--env", "prod", NULL}, no_words,
                 "--env: must be one of development|production");
    expect_error(no_words, (const char *[]){"MUSTER_LEASES=1s", NULL},
                 "MUSTER_LEASES: no such setting; did you mean MUSTER_LEASE?");
    expect_error(no_words, (const char *[]){"MUSTER_LEASE=x", NULL},
                 "MUSTER_LEASE: 'x' is no duration such as 250ms, 10s, 5m or 24h");
    expect_error((const char *[]){"--http", "bad", NULL}, no_words, "--http: 'bad' is bad");
    expect_error(no_words, (const char *[]){"MUSTER_STORE=bad", NULL},
                 "MUSTER_STORE: 'bad' is bad");
    expect_error(no_words, (const char *[]){"MUSTER_STORE=memory:", "MUSTER_STORE_FILE=/x", NULL},
                 "MUSTER_STORE_FILE: set beside MUSTER_STORE; only one can count");
    expect_error(
        no_words, (const char *[]){"MUSTER_STORE_FILE=/nonexistent", NULL},
        "MUSTER_STORE_FILE: cannot read the file '/nonexistent': No such file or directory");
    expect_error(no_words, (const char *[]){"MUSTER_STATUS_TOKEN_FILE=/tmp", NULL},
                 "MUSTER_STATUS_TOKEN_FILE: cannot read the file '/tmp': Is a directory");
    expect_error(no_words, (const char *[]){"MUSTER_STATUS_TOKEN_FILE=/dev/null", NULL},
                 "MUSTER_STATUS_TOKEN_FILE: the file '/dev/null' is empty");
    expect_error(no_words, (const char *[]){"MUSTER_STATUS_TOKEN_FILE=/dev/zero", NULL},
                 "MUSTER_STATUS_TOKEN_FILE: the file '/dev/zero' is longer than 8191 bytes");
    expect_error((const char *[]){"--status-token", "a\nb\nc", NULL}, no_words,
                 "--status-token: holds 3 lines; a token is one, and at most two count");
    expect_error(no_words, (const char *[]){"MUSTER_HTTP_FILE=/dev/null", NULL},
                 "MUSTER_HTTP_FILE: no such setting; see muster --help");
}

static void test_kubernetes_service_links_are_passed_over(void **state)
{
    (void)state;
    struct settings settings;
    char error[256];
    const char *env[] = {"MUSTER_SERVICE_HOST=10.0.0.1",
                         "MUSTER_SERVICE_PORT=8080",
                         "MUSTER_SERVICE_PORT_HTTP=8080",
                         "MUSTER_PORT=tcp://10.0.0.1:8080",
                         "MUSTER_PORT_8080_TCP=tcp://10.0.0.1:8080",
                         "MUSTER_PORT_8080_TCP_PROTO=tcp",
                         "MUSTER_PORT_8080_TCP_PORT=8080",
                         "MUSTER_PORT_8080_TCP_ADDR=10.0.0.1",
                         "MUSTER_RELAY_SERVICE_HOST=10.0.0.2",
                         "MUSTER_RELAY_PORT_1337_TCP_ADDR=10.0.0.2",
                         "MUSTER_TRACKER_PORT_3000_UDP=udp://10.0.0.3:3000",
                         NULL};
    assert_int_equal(read_settings(&settings, no_words, env, error), 0);
    settings_deinit(&settings);
}

/* "production" in any case; what other programs mean by it is no error. */
static void test_foreign_variables(void **state)
{
    (void)state;
    struct settings settings;
    char error[256];
    const char *others[] = {"SG_ENV=staging", "SG_ENV=", "SG_ENV=test"};
    for (size_t i = 0; i < 3; i++) {
        const char *env[] = {others[i], NULL};
        assert_int_equal(read_settings(&settings, no_words, env, error), 0);
        assert_int_equal(settings.env, ENV_DEVELOPMENT);
        settings_deinit(&settings);
    }
    const char *env[] = {"SG_ENV=PRODUCTION",   "PORT=5000",          "SG_SERVER_HOST=::1",
                         "SG_SERVER_PORT=9000", "SG_PROCESS_COUNT=3", NULL};
    assert_int_equal(read_settings(&settings, no_words, env, error), 0);
    assert_int_equal(settings.env, ENV_PRODUCTION);
    assert_string_equal(settings.http, "[::1]:9000");
    assert_int_equal(settings.workers, 3);
    settings_deinit(&settings);
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void count_change(void *arg, const char *name, bool live)
{
    struct buf *seen = arg;
    buf_printf(seen, "%s %s\n", name, live ? "live" : "later");
}

/* The file counts less than variables, which count less than flags; read again, what may change
 * does, at the address where it was. */
static void test_config_file_and_reload(void **state)
{
    (void)state;
    struct settings settings;
    struct buf seen = {0};
    char error[256], path[] = "/tmp/muster-config-XXXXXX";
    close(mkstemp(path));
    const char *args[] = {"--config", path, "--http", "flag", NULL};
    const char *env[] = {"MUSTER_LEASE=7s", NULL};
    write_file(path, "# comment\n\nlease = 5s\nhttp=file\n drain = 9s \nrelay-pacing = off\n"
                     "status-token = \"one\"\n");
    assert_int_equal(read_settings(&settings, args, env, error), 0);
    assert_int_equal(settings.lease, 7000);
    assert_string_equal(settings.http, "flag");
    assert_int_equal(settings.drain, 9000);
    assert_false(settings.relay_pacing);
    const char *token = settings.status_token;
    assert_string_equal(token, "one");
    assert_false(settings_are_stale(&settings));
    write_file(path, "drain = 11s\nstatus-token = two\nsync-idle = 1m\n");
    assert_true(settings_are_stale(&settings));
    assert_int_equal(settings_reload(&settings, count_change, &seen, error, sizeof(error)), 0);
    assert_string_equal(buf_text(&seen), "status-token live\ndrain live\nsync-idle later\n"
                                         "relay-pacing later\n");
    assert_ptr_equal(settings.status_token, token);
    assert_string_equal(token, "two");
    assert_int_equal(settings.drain, 11000);
    assert_int_equal(settings.sync_idle, 5 * 60 * 1000);
    assert_false(settings_are_stale(&settings));
    write_file(path, "drain = never\n");
    assert_int_equal(settings_reload(&settings, count_change, &seen, error, sizeof(error)), -1);
    assert_int_equal(settings.drain, 11000);
    assert_false(settings_are_stale(&settings));
    settings_deinit(&settings);
    buf_free(&seen);
    unlink(path);
}

static void test_bad_lines_are_named(void **state)
{
    (void)state;
    char path[] = "/tmp/muster-config-XXXXXX", wanted[256];
    close(mkstemp(path));
    const char *args[] = {"--config", path, NULL};
    const struct {
        const char *text, *error;
    } cases[] = {
        {"\nleas = 5s\n", "2: leas: no such setting; did you mean lease?"},
        {"lease 5s\n", "1: lease 5s: a line is name = value"},
        {"lease = 5\n", "1: lease: '5' is no duration such as 250ms, 10s, 5m or 24h"},
        {"status-token-file = /dev/null\n", "1: status-token-file: the file '/dev/null' is empty"},
        {"config = /x\n", "1: config: stands in no such file"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        write_file(path, cases[i].text);
        snprintf(wanted, sizeof(wanted), "%s:%s", path, cases[i].error);
        expect_error(args, no_words, wanted);
    }
    unlink(path);
}

/* What is printed as in force is a file that gives the same again, without the secrets. */
static void test_printed_settings_are_a_config(void **state)
{
    (void)state;
    struct settings settings, again;
    struct buf first = {0}, second = {0};
    char error[256], path[] = "/tmp/muster-config-XXXXXX";
    close(mkstemp(path));
    const char *args[] = {"--lease", "7s", "--status-token", "hush", "--log-format", "json", NULL};
    assert_int_equal(read_settings(&settings, args, no_words, error), 0);
    settings_print(&settings, &first);
    assert_null(strstr(buf_text(&first), "hush"));
    assert_non_null(strstr(buf_text(&first), "# status-token: a secret, set"));
    write_file(path, buf_text(&first));
    const char *from_file[] = {"--config", path, NULL};
    assert_int_equal(read_settings(&again, from_file, no_words, error), 0);
    assert_int_equal(again.lease, 7000);
    assert_int_equal(again.log_format, LOG_JSON);
    settings_print(&again, &second);
    assert_non_null(strstr(buf_text(&second), "lease = 7s\n"));
    settings_deinit(&settings);
    settings_deinit(&again);
    buf_free(&first);
    buf_free(&second);
    unlink(path);
}

static void test_help_of_a_verb_fits_a_terminal(void **state)
{
    (void)state;
    struct buf node = {0}, sink = {0};
    assert_true(settings_print_help("node", &node));
    assert_true(settings_print_help("sink", &sink));
    assert_false(settings_print_help("dance", &sink));
    assert_non_null(strstr(buf_text(&node), "--relay-color"));
    assert_null(strstr(buf_text(&node), "--sink-rows"));
    assert_non_null(strstr(buf_text(&sink), "--sink-rows"));
    assert_null(strstr(buf_text(&sink), "--relay-color"));
    struct span rest = buf_span(&node);
    while (rest.len > 0) {
        assert_true(span_cut(&rest, '\n').len <= 80);
    }
    buf_free(&node);
    buf_free(&sink);
}

static void test_secret_from_file(void **state)
{
    (void)state;
    struct settings settings;
    char error[256], path[] = "/tmp/muster-secret-XXXXXX", variable[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "redis://:pw@host:1\r\n", 20), 20);
    close(fd);
    snprintf(variable, sizeof(variable), "MUSTER_STORE_FILE=%s", path);
    assert_int_equal(read_settings(&settings, no_words, (const char *[]){variable, NULL}, error),
                     0);
    assert_string_equal(settings.store, "redis://:pw@host:1");
    settings_deinit(&settings);
    unlink(path);
}

static void test_markdown_names_every_setting(void **state)
{
    (void)state;
    struct buf out = {0};
    settings_print_markdown(&out);
#define SETTING(field, kind, preset, low, high, choices, help)                                     \
    assert_non_null(strstr(buf_text(&out), help));
#define GROUP(id, title, verbs)
    SETTINGS_TABLE(GROUP, SETTING)
#undef GROUP
#undef SETTING
    buf_free(&out);
}

/* ------------------------------------------------------------------------------------ metrics */

static void test_metrics_print_prometheus_text(void **state)
{
    (void)state;
    static struct metrics metrics;
    struct buf out = {0};
    metrics_add(&metrics, METRIC_BYTES_IN, 7);
    metrics_observe(&metrics, HISTOGRAM_BUS_LAG, 0.0002);
    metrics_observe(&metrics, HISTOGRAM_BUS_LAG, 99);
    metrics_print(&metrics, &out);
    const char *text = buf_text(&out);
    assert_non_null(strstr(
        text, "# TYPE muster_received_bytes_total counter\nmuster_received_bytes_total 7\n"));
    assert_non_null(strstr(text, "muster_bus_lag_seconds_bucket{le=\"0.0001\"} 0\n"));
    assert_non_null(strstr(text, "muster_bus_lag_seconds_bucket{le=\"0.00025\"} 1\n"));
    assert_non_null(strstr(text, "muster_bus_lag_seconds_bucket{le=\"10\"} 1\n"));
    assert_non_null(strstr(text, "muster_bus_lag_seconds_bucket{le=\"+Inf\"} 2\n"));
    assert_non_null(strstr(text, "muster_bus_lag_seconds_count 2\n"));
    buf_free(&out);
}

/* ---------------------------------------------------------------------------------- loop, wheel */

struct alarm {
    struct wheel_timer timer;
    struct loop *loop;
    uint64_t fired_ms;
    bool last;
};

static void on_alarm(struct wheel_timer *timer)
{
    struct alarm *alarm = CONTAINER_OF(timer, struct alarm, timer);
    alarm->fired_ms = clock_monotonic_ms();
    if (alarm->last) {
        loop_stop(alarm->loop);
    }
}

static void test_wheel_fires_in_time_and_never_early(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct wheel *wheel = wheel_new(loop);
    struct alarm a = {.loop = loop}, b = {.loop = loop}, c = {.loop = loop},
                 last = {.loop = loop, .last = true};
    struct alarm *alarms[] = {&a, &b, &c, &last};
    for (size_t i = 0; i < 4; i++) {
        wheel_timer_init(&alarms[i]->timer, on_alarm);
    }
    uint64_t start = clock_monotonic_ms();
    wheel_set(wheel, &a.timer, 100);
    wheel_set(wheel, &b.timer, 100);
    wheel_set(wheel, &b.timer, 400); /* later */
    wheel_set(wheel, &c.timer, 60000);
    wheel_set(wheel, &c.timer, 200); /* sooner */
    wheel_set(wheel, &last.timer, 600);
    struct alarm cancelled = {.loop = loop};
    wheel_timer_init(&cancelled.timer, on_alarm);
    wheel_set(wheel, &cancelled.timer, 100);
    wheel_cancel(&cancelled.timer);
    loop_run(loop);
    assert_true(a.fired_ms >= start + 100);
    assert_true(c.fired_ms >= start + 200);
    assert_true(b.fired_ms >= start + 400);
    assert_true(a.fired_ms <= c.fired_ms && c.fired_ms <= b.fired_ms &&
                b.fired_ms <= last.fired_ms);
    assert_int_equal(cancelled.fired_ms, 0);
    wheel_free(&wheel);
    loop_free(&loop);
}

struct crowd_of_alarms {
    struct loop *loop;
    uint64_t turn;
    int in_turn, most, fired;
};

struct crowd_alarm {
    struct wheel_timer timer;
    struct crowd_of_alarms *all;
};

static void on_crowd_alarm(struct wheel_timer *timer)
{
    struct crowd_of_alarms *all = CONTAINER_OF(timer, struct crowd_alarm, timer)->all;
    all->in_turn = all->turn == loop_turn(all->loop) ? all->in_turn + 1 : 1;
    all->turn = loop_turn(all->loop);
    all->most = all->in_turn > all->most ? all->in_turn : all->most;
    if (++all->fired == 998) {
        loop_stop(all->loop);
    }
}

/* What thousands of idle connections wait for costs a turn a second. */
static void test_wheel_sleeps_until_something_is_due(void **state)
{
    enum { ALARMS = 200, EVERY_MS = 130, FIRST_MS = 12000, AFTER_MS = EVERY_MS * ALARMS };
    (void)state;
    struct loop *loop = loop_new();
    struct wheel *wheel = wheel_new(loop);
    struct alarm alarms[ALARMS], soon = {.loop = loop}, last = {.loop = loop, .last = true};
    uint64_t start = clock_monotonic_ms();
    for (int i = 0; i < ALARMS; i++) {
        alarms[i] = (struct alarm){.loop = loop};
        wheel_timer_init(&alarms[i].timer, on_alarm);
        wheel_set(wheel, &alarms[i].timer, FIRST_MS + EVERY_MS * (uint64_t)i);
    }
    wheel_timer_init(&soon.timer, on_alarm);
    wheel_timer_init(&last.timer, on_alarm);
    wheel_set(wheel, &soon.timer, 300); /* sooner than it would have woken up */
    wheel_set(wheel, &last.timer, FIRST_MS + AFTER_MS + 2000);
    loop_run(loop);
    assert_true(soon.fired_ms >= start + 300 && soon.fired_ms <= start + 600);
    for (int i = 0; i < ALARMS; i++) {
        uint64_t due = start + FIRST_MS + EVERY_MS * (uint64_t)i;
        assert_true(alarms[i].fired_ms >= due && alarms[i].fired_ms <= due + 1300);
    }
    assert_true(loop_turn(loop) <= (FIRST_MS + AFTER_MS + 4000) / 1000 * 3 / 2);
    wheel_free(&wheel);
    loop_free(&loop);
}

/* A thousand that are due at the same moment are not one turn of the loop. */
static void test_timers_that_are_due_at_once_fire_in_turns(void **state)
{
    (void)state;
    static struct crowd_alarm alarms[1000];
    struct crowd_of_alarms all = {.loop = loop_new()};
    struct wheel *wheel = wheel_new(all.loop);
    for (int i = 0; i < 1000; i++) {
        alarms[i].all = &all;
        wheel_timer_init(&alarms[i].timer, on_crowd_alarm);
        wheel_set(wheel, &alarms[i].timer, 100);
    }
    wheel_cancel(&alarms[500].timer);
    wheel_set(wheel, &alarms[501].timer,
              100000); /* later: stays where it is until it is looked at */
    loop_run(all.loop);
    assert_int_equal(all.fired, 998);
    assert_int_equal(all.most, 128);
    wheel_cancel(&alarms[501].timer);
    wheel_free(&wheel);
    loop_free(&all.loop);
}

static void assert_place(bool same, const char *one, const char *other)
{
    assert_int_equal(name_same_place(span_str(one), span_str(other)), same);
    assert_int_equal(name_same_place(span_str(other), span_str(one)), same);
}

static void test_names_tell_who_holds_the_same_ports(void **state)
{
    (void)state;
    assert_place(true, "vm-01234567", "vm-01234567");
    assert_place(false, "vm-01234567", "vm-89abcdef");
    assert_place(true, "vm-11111111-w0-01234567", "vm-11111111-w12-89abcdef");
    assert_place(false, "vm-11111111-w0-01234567", "vm-22222222-w0-01234567");
    assert_place(false, "vm-11111111-w0-01234567", "other-11111111-w0-01234567");
    assert_place(false, "vm-11111111-w0-01234567", "vm-11111111");
    assert_place(false, "web-w1-01234567", "web-w1-89abcdef"); /* a host named web-w1 */
    assert_place(false, "vm-11111111-wx-01234567", "vm-11111111-wx-89abcdef");
    assert_place(false, "vm-1111-w0-01234567", "vm-1111-w1-89abcdef");
    assert_place(true, "", "");
    assert_place(false, "", "-");
}

static void test_workers_of_one_group_are_at_one_place(void **state)
{
    (void)state;
    struct name_worker none = {.number = -1}, first = {.number = 0}, last = {.number = 1023};
    char alone[NAME_SIZE], again[NAME_SIZE], one[NAME_SIZE], other[NAME_SIZE];
    name_group_choose(first.group);
    memcpy(last.group, first.group, sizeof(last.group));
    name_choose_node(&none, alone);
    name_choose_node(&none, again);
    name_choose_node(&first, one);
    name_choose_node(&last, other);
    assert_place(false, alone, again);
    assert_place(false, alone, one);
    assert_place(true, one, other);
    name_group_choose(last.group);
    name_choose_node(&last, other);
    assert_place(false, one, other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_have_defaults),
        cmocka_unit_test(test_flags_win_over_environment),
        cmocka_unit_test(test_bad_settings_are_named),
        cmocka_unit_test(test_kubernetes_service_links_are_passed_over),
        cmocka_unit_test(test_secret_from_file),
        cmocka_unit_test(test_foreign_variables),
        cmocka_unit_test(test_config_file_and_reload),
        cmocka_unit_test(test_bad_lines_are_named),
        cmocka_unit_test(test_printed_settings_are_a_config),
        cmocka_unit_test(test_help_of_a_verb_fits_a_terminal),
        cmocka_unit_test(test_markdown_names_every_setting),
        cmocka_unit_test(test_metrics_print_prometheus_text),
        cmocka_unit_test(test_wheel_fires_in_time_and_never_early),
        cmocka_unit_test(test_wheel_sleeps_until_something_is_due),
        cmocka_unit_test(test_timers_that_are_due_at_once_fire_in_turns),
        cmocka_unit_test(test_names_tell_who_holds_the_same_ports),
        cmocka_unit_test(test_workers_of_one_group_are_at_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
