/* SPDX-License-Identifier: MIT */
/* Flags, variables and a file of any kind: settings that hold, or a message. A line of the input is a flag or
 * its value; behind an empty line come variables, behind the next one the file. Read again they are the
 * same. */
#include "node/core/settings.h"
#include "node/net/address.h"
#include "store/store.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 32 };

static int check_bind(const char *text, char *error, size_t error_size)
{
    struct address address;
    int family;
    if (address_parse_bind(text, &address, &family) != 0) {
        snprintf(error, error_size, "'%s' is no host:port", text);
        return -1;
    }
    return 0;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

/* Cuts the lines up to an empty one off *text. */
static void cut_lines(char **text, const char *lines[MOST + 1])
{
    int count = 0;
    while (*text != NULL && **text != '\0' && **text != '\n' && count < MOST) {
        lines[count++] = *text;
        char *end = strchr(*text, '\n');
        *text = end != NULL ? end + 1 : NULL;
        if (end != NULL) {
            *end = '\0';
        }
    }
    if (*text != NULL && **text == '\n') {
        (*text)++;
    }
    lines[count] = NULL;
}

/* A file of this process with the text; -1 where there is none. Its path is made a flag. */
static int write_file(const char *text, const char *args[MOST + 1], char path[static 64])
{
    static const char flag[] = "--config";
    int fd = text != NULL && *text != '\0' ? memfd_create("settings", 0) : -1;
    int count = 0;
    while (args[count] != NULL) {
        count++;
    }
    if (fd >= 0 && count + 2 <= MOST && write(fd, text, strlen(text)) >= 0) {
        snprintf(path, 64, "/proc/self/fd/%d", fd);
        args[count] = flag;
        args[count + 1] = path;
        args[count + 2] = NULL;
    }
    return fd;
}

static void on_changed(void *arg, const char *name, bool live)
{
    (void)arg, (void)name, (void)live;
    must(false, "what is read again is the same");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct settings_checks checks = {.bind = check_bind, .store = store_check_url};
    const char *args[MOST + 1], *env[MOST + 1];
    struct settings settings;
    char error[512] = "";
    char *text = malloc(size + 1), *rest = text;
    memcpy(text, data, size);
    text[size] = '\0';
    if (memmem(data, size, "_FILE", 5) == NULL && memmem(data, size, "-file", 5) == NULL &&
        memmem(data, size, "config", 6) == NULL) { /* files of this machine are no part of it */
        cut_lines(&rest, args);
        cut_lines(&rest, env);
        char path[64];
        int fd = write_file(rest, args, path);
        int rc = settings_read(&settings, args, env, &checks, error, sizeof(error));
        must(rc == 0 || error[0] != '\0', "no reason");
        must(rc != 0 || (settings.lease > 0 && settings.message_limit > 0), "values within limits");
        must(rc != 0 || settings_reload(&settings, on_changed, NULL, error, sizeof(error)) == 0,
             "it can be read again");
        settings_deinit(&settings);
        if (fd >= 0) {
            close(fd);
        }
    }
    free(text);
    return 0;
}
