#include "store/migrate.h"

#include "node/core/log.h"
#include "node/node.h"

enum { PATIENCE_MS = 10 * 1000 };

static void on_line(void *arg, const char *text)
{
    (void)arg;
    log_info("migrate", LOG_TEXT_FIELD("detail", text));
}

int migrate_verb(const struct settings *settings)
{
    char error[512];
    if (settings->postgres[0] == '\0') {
        log_error("--postgres is not set");
        return 2;
    }
    if (migrate_run(settings->postgres, PATIENCE_MS, on_line, NULL, error, sizeof error) != 0) {
        log_error("migrate", LOG_TEXT_FIELD("error", error));
        return 1;
    }
    log_info("migrate", LOG_TEXT_FIELD("detail", "the schema is up to date"));
    return 0;
}
