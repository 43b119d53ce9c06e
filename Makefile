# Muster. `make help` lists the targets. Each of them works alone, first, on a fresh Debian 12.

BUILD_PACKAGES := build-essential cmake ninja-build pkg-config \
	libevent-dev libhiredis-dev libpq-dev libwslay-dev libhttp-parser-dev libjansson-dev nettle-dev zlib1g-dev \
	libcjose-dev libssl-dev libcurl4-openssl-dev
TEST_PACKAGES := libcmocka-dev redis-server postgresql openssl python3 python3-pytest python3-websockets \
	python3-jwt python3-cryptography python3-yaml \
	python3-selenium chromium chromium-driver clang libclang-rt-dev
CLUSTER_PACKAGES := redis-server haproxy curl openssl

CMAKE := cmake -S . -G Ninja
PYTEST := /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider
FUZZ_SECONDS ?= 600
ARGS ?=

.NOTPARALLEL:
.PHONY: all help run cluster test test-release test-sanitized test-fuzz bench fuzz readme manifests clean \
	build-packages test-packages cluster-packages node-packages helm-tool

all: build-packages
	@$(CMAKE) -B build >/dev/null
	@cmake --build build --target muster

help:
	@echo "make           build build/muster"
	@echo "make run       build and serve on the embedded memory store (ARGS='--http 127.0.0.1:9000')"
	@echo "make cluster   Redis, three nodes and HAProxy on loopback until Ctrl-C"
	@echo "make test      everything that must hold, with and without sanitizers"
	@echo "make bench     speed and memory, as ratios (ARGS='idle fanout' for some cases)"
	@echo "make fuzz      the fuzz targets, for FUZZ_SECONDS=600 each"
	@echo "make manifests what is made from helm/muster: k8s/, the dashboard"
	@echo "make clean     remove what was built"

run: all
	@./tests/run.sh $(ARGS)

cluster: cluster-packages all
	@./tests/cluster.sh

test: test-release test-sanitized test-fuzz

# Warnings are errors here; what runs is what is shipped.
test-release: build-packages test-packages node-packages helm-tool
	@$(CMAKE) -B build-test -DMUSTER_TESTS=ON -DMUSTER_WERROR=ON >/dev/null
	@cmake --build build-test
	@ctest --test-dir build-test --output-on-failure --timeout 300
	@/usr/bin/python3 tests/readme.py build-test/muster --check
	@MUSTER_BIN=$(CURDIR)/build-test/muster $(PYTEST) tests

test-sanitized: build-packages test-packages node-packages
	@$(CMAKE) -B build-asan -DMUSTER_TESTS=ON -DMUSTER_WERROR=ON -DMUSTER_SANITIZE=address,undefined >/dev/null
	@cmake --build build-asan
	@ctest --test-dir build-asan --output-on-failure --timeout 600
	@MUSTER_BIN=$(CURDIR)/build-asan/muster $(PYTEST) tests/integration

test-fuzz: build-packages test-packages
	@./tests/fuzz/run.sh 5

fuzz: build-packages test-packages
	@./tests/fuzz/run.sh $(FUZZ_SECONDS)

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
	@/usr/bin/python3 tests/deploy/values_table.py
	@/usr/bin/python3 tests/deploy/dashboard.py
	@/usr/bin/python3 tests/deploy/manifests.py

clean:
	rm -rf build-tools build build-test build-asan build-bench build-fuzz

build-packages:
	@./tests/install.sh $(BUILD_PACKAGES)

test-packages:
	@./tests/install.sh $(TEST_PACKAGES)

# Helm, where a Go toolchain can build it; where not, the tests that need it say so and are skipped.
helm-tool:
	@./tests/deploy/get_helm.sh build-tools

cluster-packages:
	@./tests/install.sh $(CLUSTER_PACKAGES) python3

# The tests drive the npm package `ws`; any Node.js from 18 on will do.
node-packages:
	@command -v npm >/dev/null || ./tests/install.sh nodejs npm
