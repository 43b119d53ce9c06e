/* SPDX-License-Identifier: MIT */
/* The one table of settings: GROUP(id, title, verbs), which stands before its first setting, and
 * SETTING(field, kind, default, low, high, choices, help).
 *
 * The field `store_prefix` is flag --store-prefix, variable MUSTER_STORE_PREFIX, and store-prefix in
 * a file named by --config. Kinds, and what they are in struct settings:
 *
 *     TEXT      char *    any
 *     BIND      char *    host:port; empty where the default is, or where choices are "off"
 *     BINDS     char *    [name=]host:port, any number of them with commas
 *     ORIGINS   char *    scheme://host[:port], any number of them with commas
 *     HOSTS     char *    names of hosts, any number of them with commas, or *
 *     SECRET    char *    text, also from a file named by MUSTER_X_FILE
 *     TOKEN     char *    a secret that clients show; two, each in a line, both count
 *     STORE     char *    a secret that is the URL of a store
 *     DURATION  uint32_t  milliseconds, from low to high
 *     AGE       uint64_t  milliseconds, from low to high, where 49 days are not enough
 *     SIZE      size_t    bytes, from low to high; the word in choices, if any, is SIZE_MAX
 *     COUNT     uint32_t  from low to high; the word in choices, if any, stands for 0
 *     SWITCH    bool      off or on
 *     CHOICE    settings_<field>, an enum: index into choices, separated by '|'
 *
 * SECOND, HOUR, KIB and GIB mean something only where the table is read (settings_value.c). */
#ifndef MUSTER_NODE_CORE_SETTINGS_TABLE_H
#define MUSTER_NODE_CORE_SETTINGS_TABLE_H

/* The verbs that a group of settings means something to. */
#define SETTINGS_NODE 1u
#define SETTINGS_SINK 2u
#define SETTINGS_MIGRATE 4u
#define SETTINGS_ALL 7u

/* clang-format off */
#define SETTINGS_TABLE(GROUP, SETTING) \
    GROUP(HTTP, "HTTP", SETTINGS_NODE | SETTINGS_SINK) \
    SETTING(http, BIND, "0.0.0.0:8080", 0, 0, "", "address and port for HTTP and WebSocket") \
    SETTING(admin, BIND, "", 0, 0, "", "when set, /metrics, /healthz, /readyz and the status page are served there and not on http") \
    SETTING(admin_hosts, HOSTS, "", 0, 0, "", "names under which admin answers, beside addresses and local names: host,.domain,...; *: any") \
    SETTING(origins, ORIGINS, "", 0, 0, "", "web pages that may open WebSockets and write logs: scheme://host[:port],...; empty: any") \
    SETTING(trusted_proxies, TEXT, "", 0, 0, "", "IP addresses and CIDR ranges of balancers that are believed when they say who a client is") \
    SETTING(status_token, TOKEN, "", 0, 0, "", "when set, /api/status and the live page want it as a bearer token") \
    SETTING(url_tokens, SWITCH, "on", 0, 0, "off|on", "off: tokens in addresses (?token=), which access logs keep, do not count") \
    GROUP(STORE, "Store", SETTINGS_NODE | SETTINGS_SINK) \
    SETTING(store, STORE, "memory:", 0, 0, "", "memory:, redis://[user:pass@]host:port[/db],...; rediss:, redis+sentinel:, redis+cluster:; old;new") \
    SETTING(store_ca, TEXT, "", 0, 0, "", "PEM file of the authorities that rediss:// believes; empty: those of the system") \
    SETTING(store_cert, TEXT, "", 0, 0, "", "PEM file of the client certificate for rediss://, with its chain") \
    SETTING(store_key, TEXT, "", 0, 0, "", "PEM file of its key; empty: in the file of store-cert") \
    SETTING(store_server_name, TEXT, "", 0, 0, "", "host that certificates of rediss:// servers must name; empty: the one connected to") \
    SETTING(store_replicas, COUNT, "0", 0, 16, "", "a log entry or chat message counts as accepted when so many replicas of its Redis server have it") \
    SETTING(store_prefix, TEXT, "muster", 0, 0, "", "first part of every key and topic: several fleets on one Redis") \
    SETTING(lease, DURATION, "3s", SECOND, HOUR, "", "within this time of a node's death the others know") \
    GROUP(PROCESS, "Process", SETTINGS_ALL) \
    SETTING(config, TEXT, "", 0, 0, "", "file with lines of name = value, for every setting but this one; variables count more, flags most") \
    SETTING(workers, COUNT, "1", 1, 1024, "auto", "processes that share the ports, each a node; auto: one for each core") \
    SETTING(worker_silence, DURATION, "30s", 0, HOUR, "", "a worker whose loop has not turned for so long is killed and started again; 0: never") \
    SETTING(drain, DURATION, "30s", 0, HOUR, "", "time given to clients on SIGTERM") \
    SETTING(drain_delay, DURATION, "0", 0, HOUR, "", "after SIGTERM clients are still let in for so long, while /readyz says 503 already") \
    SETTING(zone, TEXT, "", 0, 0, "", "where this process runs (a zone, a rack), as the fleet's page and muster status show it") \
    SETTING(env, CHOICE, "development", 0, 0, "development|production", "production refuses development secrets and logins (also SG_ENV)") \
    SETTING(log_level, CHOICE, "info", 0, 0, "debug|info|warn|error", "least level that is written") \
    SETTING(log_format, CHOICE, "text", 0, 0, "text|json", "json for clusters") \
    GROUP(LIMITS, "Limits", SETTINGS_NODE | SETTINGS_SINK) \
    SETTING(message_limit, SIZE, "256k", KIB, GIB, "", "largest inbound message or HTTP body") \
    SETTING(queue_limit, SIZE, "1m", 4 * KIB, GIB, "", "most outbound bytes waiting for one client; over it the client is closed") \
    SETTING(header_limit, SIZE, "16k", KIB, 1024 * KIB, "", "largest HTTP request line and header fields") \
    SETTING(connection_limit, COUNT, "0", 0, 10000000, "", "most client connections; over it new ones get 503; 0: as many as there are descriptors") \
    SETTING(address_limit, COUNT, "0", 0, 10000000, "", "most connections from one address (IPv6: /64); 0: no limit (behind a balancer: trusted-proxies)") \
    SETTING(memory_limit, SIZE, "auto", 0, 1024 * GIB, "auto", "memory from which on nobody new is let in; auto: 90 % of the container's; 0: no limit") \
    SETTING(request_timeout, DURATION, "10s", 100, HOUR, "", "time for an HTTP request to come in whole") \
    SETTING(keep_alive, DURATION, "75s", 100, HOUR, "", "silence after which an HTTP connection without a request is closed") \
    SETTING(ws_ping, DURATION, "20s", 0, HOUR, "", "silence after which a WebSocket gets a ping; 0: no pings") \
    SETTING(ws_pong, DURATION, "30s", 100, HOUR, "", "time for it to send anything after the ping; then it is closed") \
    GROUP(SYNC, "Sync", SETTINGS_NODE) \
    SETTING(sync_idle, DURATION, "5m", 100, 24 * HOUR, "", "silence after which a /connect socket is closed") \
    GROUP(LOGS, "Logs", SETTINGS_NODE | SETTINGS_SINK) \
    SETTING(logs_bound, COUNT, "1000000", 1, 1000000000, "", "log entries kept at most: then 503 (with a sink) or the oldest go (without)") \
    SETTING(logs_sink, CHOICE, "auto", 0, 0, "auto|off|on", "on: a full stream refuses entries; off: the oldest go; auto: on with postgres") \
    SETTING(logs_lanes, COUNT, "4", 1, 64, "", "lanes of the log stream; each is stored by one sink at a time") \
    SETTING(logs_room_keys, TEXT, "", 0, 0, "", "names of members, labels or attributes that say the room, beside `room`; with commas") \
    SETTING(logs_user_keys, TEXT, "", 0, 0, "", "the same for `user`") \
    SETTING(logs_entry_limit, SIZE, "100k", 256, 16 * 1024 * KIB, "", "largest log entry") \
    SETTING(logs_syslog, TEXT, "", 0, 0, "", "takes syslog here: address:port,..., of one kind with tcp: or udp: before it; no token") \
    SETTING(logs_rate, COUNT, "0", 0, 1000000, "", "log entries a second from one address (IPv6: /64); 0: no limit (right behind a balancer)") \
    SETTING(logs_add_token, TOKEN, "", 0, 0, "", "when set, /logs/add wants it as a bearer token") \
    SETTING(logs_listen_token, TOKEN, "", 0, 0, "", "when set, /logs/listen wants it as a bearer token") \
    GROUP(POSTGRES, "PostgreSQL", SETTINGS_ALL) \
    SETTING(postgres, SECRET, "", 0, 0, "", "URI of PostgreSQL, for sink, migrate, check; of a node: for the log viewer, a reading role") \
    GROUP(SINK, "Sink", SETTINGS_SINK) \
    SETTING(sink_retention, AGE, "30d", 0, 100LL * 365 * 24 * HOUR, "", "age at which stored log entries are dropped, by whole days; 0: never") \
    SETTING(sink_search, SWITCH, "off", 0, 0, "off|on", "on: each past day gets a full-text index, about 110 MB a million entries") \
    SETTING(sink_rows, COUNT, "5000", 1, 100000, "", "most log entries in one transaction of the sink") \
    SETTING(sink_bytes, SIZE, "1m", KIB, 64 * 1024 * KIB, "", "most bytes in one transaction of the sink") \
    SETTING(sink_parallel, COUNT, "2", 1, 64, "", "transactions of the sink at once, of different lanes") \
    SETTING(sink_age, DURATION, "250ms", 0, HOUR, "", "longest that the sink lets a log entry wait for more to come") \
    SETTING(sink_keep, DURATION, "2m", 0, 24 * HOUR, "", "stored log entries stay in the stream for so long, should PostgreSQL lose its last commits") \
    SETTING(sink_keep_entries, COUNT, "10000", 0, 100000000, "", "stored log entries that stay in the stream longer, for those who look back") \
    SETTING(from, TEXT, "", 0, 0, "", "sink: listen at this ws://host[:port]/logs/listen (wss:// for TLS) instead of reading the stream") \
    SETTING(from_ca, TEXT, "", 0, 0, "", "PEM file of the authorities that wss:// in from and mirror believes; empty: those of the system") \
    SETTING(mirror, TEXT, "", 0, 0, "", "sink: ws://host[:port]/logs/listen of another server, whose entries are added to the stream") \
    SETTING(mirror_token, SECRET, "", 0, 0, "", "bearer token that the server of mirror wants; empty: none") \
    GROUP(DISPATCH, "Dispatch", SETTINGS_NODE) \
    SETTING(dispatch_ports, TEXT, "6000-6999", 0, 0, "", "device ports and ranges that drivers may open, as in 6000-6999,udp:47808; empty: dispatch is off") \
    SETTING(dispatch_bind, TEXT, "0.0.0.0", 0, 0, "", "IP address on which device ports are opened; :: for IPv6 and IPv4") \
    SETTING(dispatch_secret, TOKEN, "testing", 0, 0, "", "bearer token of drivers (also PLACE_SERVER_SECRET, SERVER_SECRET)") \
    SETTING(dispatch_proxy, TEXT, "", 0, 0, "", "balancers (addresses, ranges) that begin connections with a PROXY header; on: trusted-proxies") \
    SETTING(dispatch_stall, DURATION, "30s", SECOND, HOUR, "", "time after which a device or driver that reads nothing of what waits is closed") \
    GROUP(RELAY, "Relay", SETTINGS_NODE) \
    SETTING(relay, BINDS, "0.0.0.0:1337", 0, 0, "", "TCP addresses for cross-server chat: [network=]host:port,...; empty: off") \
    SETTING(relay_name, TEXT, "Muster", 0, 0, "", "the host's name as game servers see it") \
    SETTING(relay_color, TEXT, "00aaff", 0, 0, "", "the host's colour, six hexadecimal digits") \
    SETTING(relay_prefix, TEXT, "[*]", 0, 0, "", "the host's prefix") \
    SETTING(relay_pacing, SWITCH, "on", 0, 0, "off|on", "on: one packet at a time, for game servers that expect one in each read") \
    SETTING(relay_gap, DURATION, "20ms", 1, SECOND, "", "least time between a packet that a game server confirmed and the next one (pacing)") \
    SETTING(relay_upstream, TEXT, "", 0, 0, "", "old hosts to bridge to: [network=]host:port,...; on one node of the fleet; empty: none") \
    SETTING(relay_unpaced, TEXT, "", 0, 0, "", "networks, with commas, whose game servers take several packets in one read: no pacing") \
    SETTING(relay_secret, SECRET, "", 0, 0, "", "when set, a handshake must hold it as \"secret\"") \
    SETTING(relay_proxy, SWITCH, "off", 0, 0, "off|on", "on: connections from trusted-proxies must begin with a PROXY header") \
    SETTING(relay_limit, SIZE, "32k", KIB, GIB, "", "largest packet of a game server") \
    SETTING(relay_rate, COUNT, "500", 0, 1000000, "", "packets a second of one game server; over it the server is read more slowly; 0: no limit") \
    SETTING(relay_joins, COUNT, "20", 0, 1000000, "", "game servers a second that join one network here; over it they wait; 0: no limit") \
    SETTING(relay_timeout, DURATION, "10s", 100, HOUR, "", "time for a handshake to come in, and for its answer") \
    SETTING(relay_status_token, TOKEN, "", 0, 0, "", "bearer token of GET /api/relay; empty: the path is off") \
    GROUP(TRACKER, "Tracker", SETTINGS_NODE) \
    SETTING(tracker, BINDS, "0.0.0.0:3000", 0, 0, "", "UDP addresses of the peer tracker: [dialect=]host:port,...; empty: off") \
    SETTING(tracker_dialect, CHOICE, "documented", 0, 0, "documented|sobani", "dialect of the addresses in tracker that name none") \
    SETTING(tracker_expiry, DURATION, "5m", 100, 24 * HOUR, "", "silence after which a peer and its share id are forgotten") \
    SETTING(tracker_grace, DURATION, "1h", 0, 24 * HOUR, "", "a peer that was forgotten gets its share id back for so long; 0: not at all") \
    SETTING(tracker_forward, TEXT, "", 0, 0, "", "host:port of an older tracker that is asked for share ids that nobody has here; empty: none") \
    SETTING(tracker_rate, COUNT, "500", 0, 1000000, "", "datagrams a second that the tracker takes from one IPv4 address or IPv6 /64; 0: no limit") \
    SETTING(tracker_burst, COUNT, "1000", 1, 1000000, "", "datagrams that it takes from one of these at a stretch") \
    GROUP(CHAT, "Chat", SETTINGS_NODE) \
    SETTING(chat_login, CHOICE, "jwt", 0, 0, "jwt|development", "how /chat finds out who somebody is; development believes any token") \
    SETTING(chat_jwt_key, TEXT, "", 0, 0, "", "PEM file with the public key (RSA, EC, Ed25519) of access tokens; read again when it changes") \
    SETTING(chat_jwks, TEXT, "", 0, 0, "", "file or URL of a JWK set with such keys") \
    SETTING(chat_jwt_secret, SECRET, "", 0, 0, "", "secret of access tokens signed with HS256") \
    SETTING(chat_jwt_audience, TEXT, "heavenland-api", 0, 0, "", "audience that access tokens must be for; empty: any") \
    SETTING(chat_jwt_issuer, TEXT, "", 0, 0, "", "issuer that access tokens must be of; empty: any") \
    SETTING(chat_jwt_leeway, DURATION, "2s", 0, HOUR, "", "how far the clock of the service that signs tokens may differ") \
    SETTING(chat_jwks_refresh, DURATION, "10m", SECOND, 24 * HOUR, "", "age at which a JWK set from a URL is fetched again") \
    SETTING(chat_jwks_pause, DURATION, "10s", 100, HOUR, "", "least time between two looks at a JWK set, whatever key ids tokens name") \
    SETTING(chat_nickname_claim, TEXT, "", 0, 0, "", "claim of the token that holds the nickname; where it is missing the account service is asked") \
    SETTING(chat_account_url, TEXT, "", 0, 0, "", "base URL of the account service; empty: none, the nickname is the user id") \
    SETTING(chat_account_timeout, DURATION, "10s", 100, HOUR, "", "time for the account service to answer") \
    SETTING(chat_account_parallel, COUNT, "16", 1, 1000, "", "requests to it at a time; more wait their turn") \
    SETTING(chat_account_cache, DURATION, "30s", 0, HOUR, "", "for so long a nickname is not asked for again") \
    SETTING(chat_login_url, TEXT, "", 0, 0, "", "base URL of the endpoints for login with a password; empty: only tokens") \
    SETTING(chat_close_at_exp, SWITCH, "off", 0, 0, "off|on", "close a /chat socket when its token expires, besides ending its session") \
    SETTING(chat_history, COUNT, "100", 1, 1000, "", "chat messages kept for clients to ask for") \
    SETTING(chat_rate, COUNT, "20", 1, 100000, "", "messages a second that one /chat socket may send in the long run") \
    SETTING(chat_burst, COUNT, "200", 1, 100000, "", "messages that it may send at once") \
    SETTING(chat_text_limit, SIZE, "4k", 1, 32 * KIB, "", "longest chat message, as JSON writes it") \
    GROUP(MINIGAME, "Minigame and version", SETTINGS_NODE) \
    SETTING(minigame_token, TOKEN, "", 0, 0, "", "bearer token that game servers must show on /minigame; empty: none") \
    SETTING(webhook_token, TOKEN, "", 0, 0, "", "bearer token that POST /api/webhook/minigame must show; empty: none") \
    SETTING(api_env, TEXT, "DEVELOPMENT", 0, 0, "", "env in the answer of /api/version") \
    SETTING(api_desc, TEXT, "Muster", 0, 0, "", "desc in the answer of /api/version")
/* clang-format on */

/* What a running process takes from a file that is read again; beside these all secrets. */
#define SETTINGS_LIVE(FIELD) FIELD(log_level) FIELD(log_format) FIELD(drain) FIELD(drain_delay)

#endif
