# A thin face on scripts/ and Meson. `make run` and `make check` install what is missing; both say so first.
.DEFAULT_GOAL := build
.PHONY: build run check bench soak fault-sweep format install clean help

help:
	@echo "make build    build into build/"
	@echo "make run      set up, build, and run the main job on real input"
	@echo "make check    set up, build with every compiler and sanitizer, run all tests"
	@echo "make bench    set up, build, and compare with other ways to run Python in parallel"
	@echo "make soak     set up, build, run 5 M items through pipes, and let workers die for SOAK_SECONDS (300): the host must stay flat"
	@echo "make fault-sweep  set up, build, and fail every system call of the host in turn: takes minutes"
	@echo "make format   format the C sources"
	@echo "make install  build and install; PREFIX (default /usr/local) and DESTDIR are heeded"
	@echo "make clean    remove build/"

build:
	@scripts/setup
	@scripts/build main

run:
	@scripts/setup
	@scripts/build run
	@scripts/run-demo

check:
	@scripts/setup newer
	@scripts/check

bench:
	@scripts/setup bench
	@scripts/build bench
	@scripts/run-bench

soak:
	@scripts/setup
	@scripts/build main
	@scripts/soak

fault-sweep:
	@scripts/setup
	@scripts/build main
	@scripts/fault-sweep

format:
	@scripts/format

install:
	@PREFIX="$(PREFIX)" scripts/build install
	@DESTDIR="$(DESTDIR)" meson install -C build/install --no-rebuild
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi # so that programs find the library at once

clean:
	rm -rf build
