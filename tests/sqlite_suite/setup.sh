#!/usr/bin/env bash
# Builds SQLite's testfixture and mptester, with loader.c, in the folder that is named. The source is that of Debian's
# package, fetched by apt with a list of its own; nothing of it stays in this project.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
cd "$1"
place=$PWD
version=3.40.1
tools=(gcc make tclsh dpkg-source)
if ! command -v "${tools[@]}" >/dev/null || ! find /usr/include -maxdepth 2 -name tcl.h | grep -q .; then
    apt-get install -y --no-install-recommends gcc make tcl tcl-dev zlib1g-dev dpkg-dev xz-utils
fi
if [ ! -e source ]; then
    mkdir -p lists/partial
    echo 'deb-src http://deb.debian.org/debian bookworm main' > sources.list
    own=(
        -o "Dir::Etc::SourceList=$place/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State::Lists=$place/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=
        -o APT::Sandbox::User=root
    )
    apt-get "${own[@]}" update
    apt-get "${own[@]}" source --download-only sqlite3
    tar -xf "sqlite3_$version.orig.tar.xz"
    ln -sfn "sqlite3-$version" source
fi
cc -O1 -c "$here/loader.c" -o loader.o
[ -e Makefile ] || source/configure
# SQLite calls lumo_suite_init whenever it is initialized. -export-dynamic: the engine finds SQLite's functions by name.
common=(OPTS=-DSQLITE_EXTRA_INIT=lumo_suite_init CFLAGS=-O1)
make "${common[@]}" "TLIBS=$place/loader.o -export-dynamic -lm -lz -ldl -lpthread" testfixture
cc -O1 -DSQLITE_EXTRA_INIT=lumo_suite_init -DSQLITE_THREADSAFE=1 -rdynamic -I. -o mptester \
    source/mptest/mptest.c sqlite3.c loader.o -ldl -lpthread -lm
