# SPDX-License-Identifier: MIT
# The image of every verb: `docker run muster node`, `sink`, `migrate`, `check`.
# Without BuildKit too. Builds from Debian 12 as well: --build-arg SUITE=bookworm.
# A release pins its base: --build-arg BASE=debian@sha256:...
ARG SUITE=trixie
ARG BASE=debian:${SUITE}-slim

FROM ${BASE} AS build
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends make >/dev/null
WORKDIR /src
# First what the packages depend on, so that a change of code does not install them again.
COPY Makefile ./
COPY tests/install.sh tests/
RUN make build-packages
COPY . .
# The commit; without it /version says "unknown".
ARG REVISION=
RUN cmake -S . -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release -DMUSTER_WERROR=ON -DMUSTER_COMMIT="${REVISION}" >/dev/null \
    && cmake --build /build --target muster \
    && strip /build/muster
# The packages whose libraries the program needs, whatever this suite calls them.
RUN ldd /build/muster | awk '$2 == "=>" && $3 ~ "^/" { n = split($3, path, "/"); print "*/" path[n] }' \
    | xargs dpkg-query -S | cut -d: -f1 | sort -u >/build/packages && cat /build/packages

# What the program needs in a folder: its libraries, the names of users, the authorities that TLS trusts.
RUN apt-get install -y -qq --no-install-recommends ca-certificates >/dev/null \
    && mkdir -p /bare/usr/local/bin /bare/etc/ssl/certs /bare/usr/lib/ssl /bare/usr/share/doc/muster \
    && cp /build/muster /bare/usr/local/bin/ && cp LICENSE /bare/usr/share/doc/muster/copyright \
    && for one in $(ldd /build/muster | awk '$2 == "=>" { print $3 } $1 ~ "^/" { print $1 }'); do \
        mkdir -p "/bare$(dirname "$one")" && cp -L "$one" "/bare$one" || exit 1; done \
    && cp -L /etc/ssl/certs/ca-certificates.crt /bare/etc/ssl/certs/ && ln -s /etc/ssl/certs /bare/usr/lib/ssl/certs \
    && cp /etc/nsswitch.conf /bare/etc/ && echo "muster:x:10001:10001::/nonexistent:/" >/bare/etc/passwd

# `docker build --target bare`: the program and its libraries, no shell, no package manager, an eighth of the size. What
# starts it has to ask for its health, as Kubernetes does.
FROM scratch AS bare
COPY --from=build /bare /
USER 10001:10001
WORKDIR /
EXPOSE 8080/tcp 1337/tcp 3000/udp
STOPSIGNAL SIGTERM
ENTRYPOINT ["muster"]
CMD ["node"]

FROM ${BASE}
COPY --from=build /build/packages /tmp/packages
# ca-certificates: TLS checks with them which server it speaks to.
RUN apt-get update -qq \
    && xargs apt-get install -y -qq --no-install-recommends ca-certificates </tmp/packages >/dev/null \
    && rm -rf /tmp/packages /var/lib/apt/lists/* /var/cache/apt/* /var/log/* \
    && useradd --system --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin muster
COPY --from=build /build/muster /usr/local/bin/muster
COPY LICENSE /usr/share/doc/muster/copyright
USER 10001:10001
WORKDIR /

# HTTP and WebSocket, cross-server chat, peer tracker. Device ports are opened as drivers ask for them.
EXPOSE 8080/tcp 1337/tcp 3000/udp
STOPSIGNAL SIGTERM
# Where the program serves it: --admin where that is set, --http otherwise.
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 CMD ["bash", "-c", "\
at=${MUSTER_ADMIN:-${MUSTER_HTTP:-:8080}}; exec 3<>/dev/tcp/127.0.0.1/${at##*:} || exit 1; \
printf 'GET /healthz HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n' >&3; \
read -r -t 4 _ status _ <&3; [ \"$status\" = 200 ]"]
ENTRYPOINT ["muster"]
CMD ["node"]

ARG BASE
ARG VERSION=0.2.0
ARG REVISION=unknown
ARG CREATED=unknown
LABEL org.opencontainers.image.title="muster" \
    org.opencontainers.image.description="A fleet of identical nodes for session sync, chat, cross-server chat, peer tracking, device dispatch and logs" \
    org.opencontainers.image.licenses="MIT" \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.created="${CREATED}" \
    org.opencontainers.image.base.name="${BASE}"
