/* SPDX-License-Identifier: MIT */
/* Flags, variables and a file of any kind: settings that hold, or a message. A line of the input is a flag or
 * its value; behind an empty line come variables, behind the next one the file. Read again they are the
 * same; behind a line `%` stands the file as it is read another time, which may change what may be changed.
 * Files that are named are those of open_files. */
#include "node/core/settings.h"
#include "node/net/address.h"
#include "store/store.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
    MOST = 32,
    LONG = 9 * 1024, /* bytes: longer than a secret may be */
    FIRST_FILE = 901,
    FILES = 4,
};

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

/* /proc/self/fd/901 to 904: a secret with its line end, nothing, a NUL, and what is too long. */
static void open_files(void)
{
    static char much[LONG];
    const struct span files[FILES] = {SPAN("hush\n"), SPAN(""), SPAN("a\0b"), {much, LONG}};
    memset(much, 'x', LONG);
    for (int i = 0; i < FILES; i++) {
        int fd = memfd_create("file", 0);
        must(fd >= 0 && write(fd, files[i].ptr, files[i].len) == (ssize_t)files[i].len, "a file");
        must(dup2(fd, FIRST_FILE + i) >= 0, "its number");
        close(fd);
    }
}

/* Names a file that is none of these: what this machine has is no part of it. */
static bool reads_elsewhere(const char *text)
{
    static const char place[] = "/proc/self/fd/90";
    size_t len = sizeof(place) - 1;
    if (strstr(text, "_FILE") == NULL && strstr(text, "-file") == NULL &&
        strcasestr(text, "config") == NULL) {
        return false;
    }
    for (const char *at = strchr(text, '/'); at != NULL; at = strchr(at, '/')) {
        bool ours = strncmp(at, place, len) == 0 && at[len] >= '1' && at[len] <= '0' + FILES &&
                    (at[len + 1] == '\0' || at[len + 1] == '\n');
        if (!ours) {
            return true;
        }
        at += len;
    }
    return false;
}

static void put_file(int fd, const char *text)
{
    must(ftruncate(fd, 0) == 0 && pwrite(fd, text, strlen(text), 0) >= 0, "a file is written");
}

/* Cuts what stands behind the line `%` off; NULL: there is none. */
static char *cut_later(char *text)
{
    char *line = text != NULL ? strstr(text, "\n%\n") : NULL;
    if (line == NULL) {
        return NULL;
    }
    line[1] = '\0';
    return line + 3;
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
    if (fd >= 0 && count + 2 <= MOST) {
        put_file(fd, text);
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

/* *arg: whether it may be one that is live. */
static void on_other(void *arg, const char *name, bool live)
{
    const bool *first = arg;
    must(*first || !live, "what is live is taken at once");
    must(name[0] != '\0', "it has a name");
}

/* What is in force after the file became another one; read once more, only what needs a restart differs. */
static void read_later(struct settings *settings, int fd, const char *later)
{
    char error[512] = "";
    bool first = true;
    put_file(fd, later);
    if (settings_reload(settings, on_other, &first, error, sizeof(error)) == 0) {
        first = false;
        must(settings_reload(settings, on_other, &first, error, sizeof(error)) == 0, "twice");
    } else {
        must(error[0] != '\0', "no reason");
    }
}

static void check(struct settings *settings, const char *const env[])
{
    char error[512], source[SETTINGS_SOURCE];
    struct buf text = {0};
    must(settings->lease > 0 && settings->message_limit > 0, "values within limits");
    must(settings_reload(settings, on_changed, NULL, error, sizeof(error)) == 0,
         "it can be read again");
    must(!settings_are_stale(settings), "nothing was written meanwhile");
    must(settings_source_of(settings, SPAN("lease"), source)[0] != '\0', "somebody said so");
    settings_print_foreign(env, &text);
    must(text.len == 0 || text.ptr[text.len - 1] == '\n', "lines");
    buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    const struct settings_checks checks = {.bind = check_bind, .store = store_check_url};
    const char *args[MOST + 1], *env[MOST + 1];
    struct settings settings;
    char error[512] = "", path[64];
    char *text = malloc(size + 1), *rest = text;
    if (!ready) {
        open_files();
        ready = true;
    }
    memcpy(text, data, size);
    text[size] = '\0';
    if (!reads_elsewhere(text)) {
        cut_lines(&rest, args);
        cut_lines(&rest, env);
        char *later = cut_later(rest);
        int fd = write_file(rest, args, path);
        int rc = settings_read(&settings, args, env, &checks, error, sizeof(error));
        must(rc == 0 || error[0] != '\0', "no reason");
        if (rc == 0) {
            check(&settings, env);
        }
        if (rc == 0 && fd >= 0 && later != NULL) {
            read_later(&settings, fd, later);
        }
        settings_deinit(&settings);
        if (fd >= 0) {
            close(fd);
        }
    }
    free(text);
    return 0;
}
