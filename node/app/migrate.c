/* SPDX-License-Identifier: MIT */
/* muster migrate: log lines of what was done; while it lasts, on a terminal one line that is written
 * over, elsewhere a line now and then. */
#include "store/postgres/migrate.h"

#include "node/app/node.h"
#include "node/core/log.h"
#include "node/core/progress.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    MIGRATE_PATIENCE_MS = 10 * 1000,
    PLAIN_MS = 10 * 1000, /* between two lines of what lasts, without a terminal */
};

struct show {
    struct progress progress;
    uint64_t plain_ms; /* how long the step lasted when its last plain line was written */
};

static void log_detail(const char *text)
{
    log_info("migrate", LOG_TEXT_FIELD("detail", text));
}

static void on_line(void *arg, const char *text)
{
    struct show *show = arg;
    progress_clear(&show->progress);
    log_detail(text);
}

static void print_step(const struct migrate_step *step, char *text, size_t size)
{
    uint64_t s = step->ms / 1000;
    switch (step->phase) {
    case MIGRATE_CONNECT:
        snprintf(text, size, "connecting to PostgreSQL: %" PRIu64 " of %" PRIu64 " s", s,
                 step->of_ms / 1000);
        break;
    case MIGRATE_WAIT:
        snprintf(text, size, "waiting for another migration of this database: %" PRIu64 " s", s);
        break;
    case MIGRATE_APPLY:
        snprintf(text, size, "%s: applying, %u of %u: %" PRIu64 " s", step->name, step->at,
                 step->of, s);
        break;
    case MIGRATE_UPKEEP:
        snprintf(text, size, "%s: %" PRIu64 " s", step->name, s);
        break;
    }
}

static void on_step(void *arg, const struct migrate_step *step)
{
    struct show *show = arg;
    char text[256];
    print_step(step, text, sizeof(text));
    if (show->progress.live) {
        progress_show(&show->progress, text);
        return;
    }
    if (step->ms < show->plain_ms) {
        show->plain_ms = 0; /* it is another step */
    }
    if (step->ms >= show->plain_ms + PLAIN_MS) {
        show->plain_ms = step->ms;
        log_detail(text);
    }
}

int migrate_verb(const struct settings *settings)
{
    char error[512];
    struct show show = {0};
    const struct migrate_observer observer = {.say = on_line, .step = on_step, .arg = &show};
    progress_init(&show.progress, settings->log_format == LOG_TEXT);
    int done =
        migrate_run(settings->postgres, MIGRATE_PATIENCE_MS, &observer, error, sizeof(error));
    progress_clear(&show.progress);
    if (done != 0) {
        log_error("migrate", LOG_TEXT_FIELD("error", error));
        return 1;
    }
    log_detail("the schema is up to date");
    return 0;
}
