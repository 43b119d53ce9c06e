/* SPDX-License-Identifier: MIT */
/* A redis-server of the test's own, on a free port of 127.0.0.1, with nothing on disk. */
#ifndef MUSTER_TESTS_REDIS_SERVER_H
#define MUSTER_TESTS_REDIS_SERVER_H

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <sys/types.h>

struct redis_server_process {
    pid_t pid; /* 0: not running */
    int port;
    char extra[2][64]; /* one more option and its value */
    int tls_port;      /* 0: no TLS */
    char certs[64];    /* folder with NAME.pem and NAME.key */
    char cert[16];     /* NAME of the server's own */
    bool demanding;    /* of a client certificate */
    int cluster_port;  /* between the servers of a cluster; 0: it is none of one */
};

/* A port that no other test on this machine is given. */
int free_port(void);

/* Starts (`option` and `value` may be NULL) and waits until it answers. A port of 0 picks one. */
void redis_start(struct redis_server_process *server, const char *option, const char *value);

/* The same with TLS on a port of its own, and the certificate `cert` from the folder `certs`. */
void redis_start_tls(struct redis_server_process *server, const char *certs, const char *cert,
                     bool demanding);

/* Starts as a replica of `master` and waits until it follows. */
void redis_start_replica(struct redis_server_process *server,
                         const struct redis_server_process *master);

/* Waits until `replica` follows and has all that `master` has written. */
void redis_wait_follows(const struct redis_server_process *replica,
                        const struct redis_server_process *master);

/* Starts `count` servers as a cluster, one replica for each master, and waits until it works. */
void redis_start_cluster(struct redis_server_process *servers, int count);

/* All live ones of these find that the cluster works. */
bool redis_cluster_works(const struct redis_server_process *servers, int count);

/* `redis-cli --cluster` with these words; they have to succeed. */
void redis_cluster_cli(const char *words);

/* Forgets the members of the cluster, for the end. */
void redis_forget_cluster(const struct redis_server_process *server);

/* A sentinel that watches `master` as "fleet" and decides alone; redis_kill ends it. */
void redis_start_sentinel(struct redis_server_process *sentinel,
                          const struct redis_server_process *master);

/* A planned fail-over, begun as soon as the sentinel finds the replica good. */
void redis_fail_over(const struct redis_server_process *sentinel);

bool redis_is_master(const struct redis_server_process *server);

/* SIGKILL, waited for. Does nothing when it is not running. */
void redis_kill(struct redis_server_process *server);

void redis_pause(struct redis_server_process *server);
void redis_resume(struct redis_server_process *server);

/* One command over a connection of its own; the reply is new (freeReplyObject). */
redisReply *redis_ask(const struct redis_server_process *server, const char *format, ...);

/* The same for its integer answer; elements for an array. */
long long redis_count(const struct redis_server_process *server, const char *format, ...);

#endif
