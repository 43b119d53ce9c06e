/* SPDX-License-Identifier: MIT */
#include "redis_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what)
{
    perror(what);
    abort();
}

enum { PORTS_FROM = 15000, PORTS_TO = 31000 }; /* as in tests/lib/ports.py */

/* Among all tests on this machine, until this process ends. */
static bool lock_port(int port)
{
    static int locks = -1;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/muster-test-ports-%u", (unsigned)getuid());
    if (locks < 0 && (locks = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644)) < 0) {
        die(path);
    }
    struct flock one = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = port, .l_len = 1};
    return fcntl(locks, F_SETLK, &one) == 0;
}

static bool is_free(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free = bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    close(fd);
    return free;
}

int free_port(void)
{
    static int last; /* of this process: its own locks do not keep it out */
    if (last == 0) {
        last = PORTS_FROM + (int)(((unsigned)getpid() * 2654435761U) % (PORTS_TO - PORTS_FROM));
    }
    for (int tries = PORTS_TO - PORTS_FROM; tries > 0; tries--) {
        last = last + 1 < PORTS_TO ? last + 1 : PORTS_FROM;
        if (lock_port(last) && is_free(last)) {
            return last;
        }
    }
    die("free port");
    return 0;
}

enum { WORDS = 64, WORD = 128 };

struct words {
    char text[WORDS][WORD];
    char *list[WORDS + 1]; /* for exec */
    int count;
};

static void add(struct words *words, const char *option, const char *value)
{
    const char *both[2] = {option, value};
    for (int i = 0; i < 2; i++) {
        snprintf(words->text[words->count], WORD, "%s", both[i]);
        words->list[words->count] = words->text[words->count];
        words->count++;
    }
}

static void add_number(struct words *words, const char *option, int value)
{
    char text[16];
    snprintf(text, sizeof(text), "%d", value);
    add(words, option, text);
}

static void add_file(struct words *words, const char *option,
                     const struct redis_server_process *server, const char *name)
{
    char path[WORD];
    snprintf(path, sizeof(path), "%s/%s", server->certs, name);
    add(words, option, path);
}

static void add_tls(struct words *words, const struct redis_server_process *server)
{
    char name[32];
    add_number(words, "--tls-port", server->tls_port);
    add_file(words, "--tls-ca-cert-file", server, "ca.pem");
    snprintf(name, sizeof(name), "%s.pem", server->cert);
    add_file(words, "--tls-cert-file", server, name);
    snprintf(name, sizeof(name), "%s.key", server->cert);
    add_file(words, "--tls-key-file", server, name);
    add(words, "--tls-auth-clients", server->demanding ? "yes" : "no");
}

static const char *server_file(const struct redis_server_process *server)
{
    static char name[32];
    snprintf(name, sizeof(name), "muster-%d.rdb", server->port);
    return name;
}

static void cluster_file(const struct redis_server_process *server, char name[32])
{
    snprintf(name, 32, "muster-%d.nodes", server->port);
}

static void add_cluster(struct words *words, const struct redis_server_process *server)
{
    char name[32];
    cluster_file(server, name);
    add(words, "--cluster-enabled", "yes");
    add_number(words, "--cluster-port", server->cluster_port);
    add(words, "--cluster-config-file", name);
    add(words, "--cluster-node-timeout", "1000");
    add(words, "--cluster-replica-validity-factor", "0");
    add(words, "--repl-diskless-sync-delay", "0");
}

static void become_server(const struct redis_server_process *server)
{
    static struct words words;
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    add_number(&words, "--port", server->port);
    add(&words, "--bind", "127.0.0.1");
    add(&words, "--save", "");
    add(&words, "--appendonly", "no");
    add(&words, "--dir", "/tmp");
    add(&words, "--dbfilename", server_file(server)); /* a replica keeps what it was sent there */
    add(&words, "--rdb-del-sync-files", "yes");
    add(&words, "--repl-diskless-sync-delay",
        "0"); /* for other replicas, of which there are none: 5 s */
    if (server->tls_port != 0) {
        add_tls(&words, server);
    }
    if (server->cluster_port != 0) {
        add_cluster(&words, server);
    }
    if (server->extra[0][0] != '\0') {
        add(&words, server->extra[0], server->extra[1]);
    }
    dup2(null, 0);
    dup2(null, 1);
    char *const *options = words.list;
    char *all[WORDS + 2] = {(char[]){"redis-server"}};
    for (int i = 0; options[i] != NULL; i++) {
        all[i + 1] = options[i];
    }
    execvp("redis-server", all);
    die("redis-server");
}

static void become_sentinel(const char *config)
{
    int null = open("/dev/null", O_RDWR);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(null, 0);
    dup2(null, 1);
    execlp("redis-server", "redis-server", config, "--sentinel", (char *)NULL);
    die("redis-server --sentinel");
}

static redisContext *try_connect(const struct redis_server_process *server)
{
    struct timeval limit = {5, 0};
    redisContext *context = redisConnectWithTimeout("127.0.0.1", server->port, limit);
    if (context != NULL && context->err != 0) {
        redisFree(context);
        return NULL;
    }
    return context;
}

static void wait_until_it_answers(const struct redis_server_process *server)
{
    struct timespec pause = {0, 5000000};
    for (int tries = 0; tries < 4000; tries++) {
        redisContext *context = try_connect(server);
        redisReply *reply = context != NULL ? redisCommand(context, "PING") : NULL;
        bool there = reply != NULL;
        if (reply != NULL) {
            freeReplyObject(reply);
        }
        if (context != NULL) {
            redisFree(context);
        }
        if (there) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    die("redis-server does not answer");
}

void redis_start(struct redis_server_process *server, const char *option, const char *value)
{
    server->port = server->port != 0 ? server->port : free_port();
    snprintf(server->extra[0], sizeof(server->extra[0]), "%s", option != NULL ? option : "");
    snprintf(server->extra[1], sizeof(server->extra[1]), "%s", value != NULL ? value : "");
    server->pid = fork();
    if (server->pid < 0) {
        die("fork");
    }
    if (server->pid == 0) {
        become_server(server);
    }
    wait_until_it_answers(server);
}

void redis_start_tls(struct redis_server_process *server, const char *certs, const char *cert,
                     bool demanding)
{
    server->tls_port = server->tls_port != 0 ? server->tls_port : free_port();
    snprintf(server->certs, sizeof(server->certs), "%s", certs);
    snprintf(server->cert, sizeof(server->cert), "%s", cert);
    server->demanding = demanding;
    redis_start(server, NULL, NULL);
}

static struct timespec a_moment(void)
{
    return (struct timespec){0, 5000000};
}

/* The number behind `field` in INFO replication; -1: there is none. */
static long long replication(const struct redis_server_process *server, const char *field)
{
    redisReply *reply = redis_ask(server, "INFO replication");
    const char *found = strstr(reply->str, field);
    long long number = found != NULL ? strtoll(found + strlen(field), NULL, 10) : -1;
    freeReplyObject(reply);
    return number;
}

static bool has_link(const struct redis_server_process *replica)
{
    redisReply *reply = redis_ask(replica, "INFO replication");
    bool up = strstr(reply->str, "master_link_status:up") != NULL;
    freeReplyObject(reply);
    return up;
}

void redis_wait_follows(const struct redis_server_process *replica,
                        const struct redis_server_process *master)
{
    struct timespec pause = a_moment();
    for (int tries = 0; tries < 4000; tries++) {
        if (has_link(replica) && replication(replica, "master_repl_offset:") ==
                                     replication(master, "master_repl_offset:")) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    die("the replica does not follow");
}

void redis_start_replica(struct redis_server_process *server,
                         const struct redis_server_process *master)
{
    char place[32];
    snprintf(place, sizeof(place), "127.0.0.1 %d", master->port);
    redis_start(server, "--replicaof", place);
    redis_wait_follows(server, master);
}

void redis_fail_over(const struct redis_server_process *sentinel)
{
    struct timespec pause = {0, 50000000};
    for (int tries = 0; tries < 400; tries++) {
        redisReply *reply = redis_ask(sentinel, "SENTINEL FAILOVER fleet");
        bool begun = reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        if (begun) {
            return;
        }
        nanosleep(&pause, NULL);
    }
    die("SENTINEL FAILOVER");
}

bool redis_is_master(const struct redis_server_process *server)
{
    redisContext *context = try_connect(server);
    redisReply *reply = context != NULL ? redisCommand(context, "ROLE") : NULL;
    bool master = reply != NULL && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                  strcmp(reply->element[0]->str, "master") == 0;
    if (reply != NULL) { /* else a sentinel has just cut off all clients: it promotes */
        freeReplyObject(reply);
    }
    if (context != NULL) {
        redisFree(context);
    }
    return master;
}

/* The line stands in CLUSTER INFO. */
static bool cluster_says(const struct redis_server_process *server, const char *line)
{
    redisReply *reply = redis_ask(server, "CLUSTER INFO");
    bool says = strstr(reply->str, line) != NULL;
    freeReplyObject(reply);
    return says;
}

bool redis_cluster_works(const struct redis_server_process *servers, int count)
{
    for (int i = 0; i < count; i++) {
        if (servers[i].pid != 0 && !cluster_says(&servers[i], "cluster_state:ok")) {
            return false;
        }
    }
    return true;
}

void redis_cluster_cli(const char *words)
{
    char command[512];
    snprintf(command, sizeof(command), "redis-cli --cluster %s >/dev/null", words);
    if (system(command) != 0) {
        die(command);
    }
}

void redis_start_cluster(struct redis_server_process *servers, int count)
{
    char words[400] = "create";
    struct timespec pause = a_moment();
    for (int i = 0; i < count; i++) {
        size_t len = strlen(words);
        servers[i].port = free_port();
        servers[i].cluster_port = free_port();
        redis_forget_cluster(&servers[i]);
        redis_start(&servers[i], NULL, NULL);
        snprintf(words + len, sizeof(words) - len, " 127.0.0.1:%d", servers[i].port);
    }
    size_t len = strlen(words);
    snprintf(words + len, sizeof(words) - len, " --cluster-replicas 1 --cluster-yes");
    redis_cluster_cli(words);
    while (!redis_cluster_works(servers, count)) {
        nanosleep(&pause, NULL);
    }
}

void redis_forget_cluster(const struct redis_server_process *server)
{
    char name[32], path[48];
    cluster_file(server, name);
    snprintf(path, sizeof(path), "/tmp/%s", name);
    unlink(path);
}

static void write_sentinel_config(const char *path, int port, int master_port)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        die(path);
    }
    fprintf(file,
            "port %d\nbind 127.0.0.1\ndir /tmp\n"
            "sentinel monitor fleet 127.0.0.1 %d 1\n"
            "sentinel down-after-milliseconds fleet 500\n"
            "sentinel failover-timeout fleet 2000\n",
            port, master_port);
    fclose(file);
}

/* It knows the replica: a fail-over can succeed. */
static bool sees_a_replica(const struct redis_server_process *sentinel)
{
    return redis_count(sentinel, "SENTINEL REPLICAS fleet") == 1;
}

void redis_start_sentinel(struct redis_server_process *sentinel,
                          const struct redis_server_process *master)
{
    char config[64];
    struct timespec pause = a_moment();
    sentinel->port = free_port();
    snprintf(config, sizeof(config), "/tmp/muster-sentinel-%d.conf", sentinel->port);
    write_sentinel_config(config, sentinel->port, master->port);
    sentinel->pid = fork();
    if (sentinel->pid < 0) {
        die("fork");
    }
    if (sentinel->pid == 0) {
        become_sentinel(config);
    }
    wait_until_it_answers(sentinel);
    while (!sees_a_replica(sentinel)) {
        nanosleep(&pause, NULL);
    }
    unlink(config);
}

void redis_kill(struct redis_server_process *server)
{
    if (server->pid != 0) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
        server->pid = 0;
    }
}

void redis_pause(struct redis_server_process *server)
{
    kill(server->pid, SIGSTOP);
}

void redis_resume(struct redis_server_process *server)
{
    kill(server->pid, SIGCONT);
}

static redisReply *ask(const struct redis_server_process *server, const char *format, va_list args)
{
    redisContext *context = try_connect(server);
    if (context == NULL) {
        die("redis_ask: connect");
    }
    redisReply *reply = redisvCommand(context, format, args);
    if (reply == NULL) {
        die("redis_ask");
    }
    redisFree(context);
    return reply;
}

redisReply *redis_ask(const struct redis_server_process *server, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = ask(server, format, args);
    va_end(args);
    return reply;
}

long long redis_count(const struct redis_server_process *server, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    redisReply *reply = ask(server, format, args);
    va_end(args);
    long long count =
        reply->type == REDIS_REPLY_ARRAY ? (long long)reply->elements : reply->integer;
    freeReplyObject(reply);
    return count;
}
