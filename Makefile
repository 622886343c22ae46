# SPDX-License-Identifier: Apache-2.0
# A short front of Meson. On a fresh Debian 12, as root: apt-get install make git; then any target does its own set-up.
FUZZ_SECONDS ?= 5
PREFIX ?= /usr/local
BENCH ?=

.PHONY: help build demo check fuzz bench install format clean
help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /make \1\t/p' Makefile | expand -t 16

build: ## the daemon: build/src/main/pointsman
	@tools/deps build
	@tools/build build

demo: build ## three sites on this machine; prints what to type
	@build/src/main/pointsman demo

check: ## every test; the last line counts them
	@tools/deps build check
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/check

fuzz: ## every fuzz harness for FUZZ_SECONDS each (default 5)
	@tools/deps build check
	@FUZZ_SECONDS=$(FUZZ_SECONDS) tools/check fuzz

bench: ## beside gdnsd, Knot and NSD; BENCH="--seconds 5 ..." goes to tests/bench/run.py
	@tools/deps build bench
	@tools/build build -Dtests=true
	@tests/bench/run.py $(BENCH)

install: build ## to PREFIX (default /usr/local); DESTDIR is respected
	@meson configure build -Dprefix=$(PREFIX)
	@meson install -C build

format: ## clang-format over src/ and tests/
	@tools/deps format
	@git ls-files 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

clean: ## removes every build directory
	@rm -rf build build-asan build-fuzz
