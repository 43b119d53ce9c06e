/* The one table of settings: SETTING(field, kind, default, low, high, choices, help).
 *
 * The field `store_prefix` is flag --store-prefix and variable MUSTER_STORE_PREFIX. Kinds:
 *
 *     TEXT      any
 *     BIND      host:port; empty where the default is
 *     SECRET    text, also from a file named by MUSTER_X_FILE
 *     STORE     a secret that is the URL of a store
 *     DURATION  milliseconds, from low to high
 *     SIZE      bytes, from low to high
 *     COUNT     from low to high
 *     CHOICE    index into choices, separated by '|' */
#ifndef MUSTER_NODE_CORE_SETTINGS_TABLE_H
#define MUSTER_NODE_CORE_SETTINGS_TABLE_H

#define SECOND 1000
#define HOUR (3600 * SECOND)
#define KIB 1024
#define GIB (1024LL * 1024 * KIB)

/* clang-format off */
#define SETTINGS_TABLE(SETTING) \
    SETTING(http, BIND, "0.0.0.0:8080", 0, 0, "", "address and port for HTTP and WebSocket") \
    SETTING(admin, BIND, "", 0, 0, "", "when set, /metrics, /healthz, /readyz and the status page are served there and not on http") \
    SETTING(status_token, SECRET, "", 0, 0, "", "when set, /api/status and the live page want it as a bearer token or as ?token=") \
    SETTING(store, STORE, "memory:", 0, 0, "", "memory: or redis://[user:pass@]host:port[/db], several with commas are shards") \
    SETTING(store_prefix, TEXT, "muster", 0, 0, "", "first part of every key and topic: several fleets on one Redis") \
    SETTING(lease, DURATION, "10s", SECOND, HOUR, "", "within this time of a node's death the others know") \
    SETTING(drain, DURATION, "30s", 0, HOUR, "", "time given to clients on SIGTERM") \
    SETTING(env, CHOICE, "development", 0, 0, "development|production", "production refuses development secrets and logins (also SG_ENV)") \
    SETTING(log_level, CHOICE, "info", 0, 0, "debug|info|warn|error", "least level that is written") \
    SETTING(log_format, CHOICE, "text", 0, 0, "text|json", "json for clusters") \
    SETTING(message_limit, SIZE, "256k", KIB, GIB, "", "largest inbound message or HTTP body") \
    SETTING(queue_limit, SIZE, "1m", 4 * KIB, GIB, "", "most outbound bytes waiting for one client; over it the client is closed") \
    SETTING(header_limit, SIZE, "16k", KIB, 1024 * KIB, "", "largest HTTP request line and header fields") \
    SETTING(connection_limit, COUNT, "0", 0, 10000000, "", "most client connections of the node; over it new ones get 503; 0: as many as the descriptor limit allows") \
    SETTING(address_limit, COUNT, "0", 0, 10000000, "", "most client connections from one IP address; 0: no limit (right behind a load balancer)") \
    SETTING(request_timeout, DURATION, "10s", 100, HOUR, "", "time for an HTTP request to come in whole") \
    SETTING(keep_alive, DURATION, "75s", 100, HOUR, "", "silence after which an HTTP connection without a request is closed") \
    SETTING(sync_idle, DURATION, "5m", 100, 24 * HOUR, "", "silence after which a /connect socket is closed")
/* clang-format on */

#endif
