# SPDX-License-Identifier: Apache-2.0
# A front for meson: it gets what is missing and says what there is to do.
FUZZ_SECONDS ?= 600

help:
	@echo 'make build     compile the daemon: build/src/main/pointsman'
	@echo 'make demo      build, then run a demonstration on loopback addresses'
	@echo 'make world     ten cities with the sea between them to play with (root; namespaces)'
	@echo 'make check     all checks and tests; ends with "N passed, N failed"'
	@echo 'make fuzz      run every fuzz harness FUZZ_SECONDS=$(FUZZ_SECONDS) each'
	@echo 'make bench     measure beside gdnsd, Knot and NSD, and the relay beside HAProxy and nginx; BENCH="--rounds 3" goes to tests/bench/run.py'
	@echo 'make install   install under /usr/local (DESTDIR= is honoured)'
	@echo 'make format    clang-format all sources'
	@echo 'make clean     remove build directories'

build:
	@tools/deps build
	@[ -e build/build.ninja ] || meson setup build -Dtests=false
	ninja -C build

# Whoever may not write build/ runs what somebody else has built there.
demo:
	@if [ ! -e build ] || [ -w build ]; then $(MAKE) --no-print-directory build; fi
	@exec build/src/main/pointsman demo

world:
	@tools/deps build check
	@[ -e build/build.ninja ] || meson setup build
	@meson configure build -Dtests=true
	ninja -C build src/main/pointsman tests/tools/wan
	@exec tests/tools/world.py build/src/main/pointsman build/tests/tools/wan

check:
	@tools/deps build check
	@tools/check

fuzz:
	@tools/deps build check
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/check fuzz

bench:
	@tools/deps build check bench
	@[ -e build-bench/build.ninja ] || meson setup build-bench --buildtype=release
	ninja -C build-bench
	@tests/bench/run.py --build build-bench $(BENCH)
	@build-bench/tests/bench/answer_path
	@tests/bench/scale.py --build build-bench
	@tests/bench/relay.py --build build-bench

install: build
	meson install --no-rebuild -C build

format:
	@tools/deps format
	find src tests -name '*.[ch]' -exec clang-format -i {} +

clean:
	rm -rf build build-check build-sanitize build-fuzz build-bench

.PHONY: help build demo world check fuzz bench install format clean
