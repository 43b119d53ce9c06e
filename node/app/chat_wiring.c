#include "node/app/chat_wiring.h"

static struct chat_login_options login_options(const struct settings *settings,
                                               struct event_base *base)
{
    return (struct chat_login_options){
        .base = base,
        .development = settings->chat_login == CHAT_LOGIN_DEVELOPMENT,
        .key_file = settings->chat_jwt_key,
        .jwks = settings->chat_jwks,
        .secret = settings->chat_jwt_secret,
        .audience = settings->chat_jwt_audience,
        .issuer = settings->chat_jwt_issuer,
        .nickname_claim = settings->chat_nickname_claim,
        .account_url = settings->chat_account_url,
        .login_url = settings->chat_login_url,
        .leeway_s = settings->chat_jwt_leeway / 1000,
        .jwks_refresh_ms = (uint32_t)settings->chat_jwks_refresh,
        .jwks_pause_ms = (uint32_t)settings->chat_jwks_pause,
        .account_ms = (uint32_t)settings->chat_account_timeout,
        .account_cache_ms = (uint32_t)settings->chat_account_cache,
        .account_parallel = (unsigned)settings->chat_account_parallel,
    };
}

static struct chat *make_chat(const struct settings *settings,
                              const struct chat_wiring_parts *parts, char *error, size_t error_size)
{
    return chat_new(parts->http,
                    &(struct chat_options){
                        .store = parts->store,
                        .metrics = parts->metrics,
                        .wheel = parts->wheel,
                        .node = parts->node,
                        .login = login_options(settings, parts->base),
                        .history = (uint32_t)settings->chat_history,
                        .rate = (uint32_t)settings->chat_rate,
                        .burst = (uint32_t)settings->chat_burst,
                        .text_limit = (uint32_t)settings->chat_text_limit,
                        .answer_limit = (size_t)settings->queue_limit / 2,
                        .close_at_exp = settings->chat_close_at_exp == 1,
                        .api_env = settings->api_env,
                        .api_desc = settings->api_desc,
                    },
                    error, error_size);
}

int chat_wiring_make(struct chat_wiring *wiring, const struct settings *settings,
                     const struct chat_wiring_parts *parts, char *error, size_t error_size)
{
    wiring->chat = make_chat(settings, parts, error, error_size);
    if (wiring->chat == NULL) {
        return -1;
    }
    wiring->minigame = minigame_new(parts->http, &(struct minigame_options){
                                                     .store = parts->store,
                                                     .metrics = parts->metrics,
                                                     .wheel = parts->wheel,
                                                     .node = parts->node,
                                                     .each_online = chat_each_online,
                                                     .online = wiring->chat,
                                                     .token = settings->minigame_token,
                                                     .webhook_token = settings->webhook_token,
                                                 });
    return 0;
}

void chat_wiring_free(struct chat_wiring *wiring)
{
    minigame_free(&wiring->minigame);
    chat_free(&wiring->chat);
}

int chat_wiring_check(const struct settings *settings, char *error, size_t error_size)
{
    struct chat_login_options options = login_options(settings, NULL);
    return chat_login_check(&options, error, error_size);
}
