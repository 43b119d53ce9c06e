# SPDX-License-Identifier: MIT
# The libraries that Muster is built with. All of them are looked for before the configuration ends, and the missing
# ones are named together, in the words of four distributions: one command then brings all of them.
# docs/build.md has the same table; tests/unit/test_libraries.py compares it, and the Makefile's list, with this one.
find_package(PkgConfig)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
if(NOT PKG_CONFIG_FOUND)
    message(FATAL_ERROR "pkg-config is missing. Debian: pkg-config; Fedora: pkgconf-pkg-config; Alpine: pkgconf; Arch: pkgconf.")
endif()

set(muster_missing "")

# Notes that a library is missing: its name with the least version, and its packages in Debian, Fedora, Alpine, Arch.
function(muster_note_missing name least debian fedora alpine arch)
    set(line "  ${name} ${least}: ${debian} (Debian), ${fedora} (Fedora), ${alpine} (Alpine), ${arch} (Arch)")
    set(muster_missing "${muster_missing}\n${line}" PARENT_SCOPE)
endfunction()

# A library with a .pc file: the target PkgConfig::<target>.
macro(muster_pkg target module least)
    pkg_check_modules(${target} QUIET IMPORTED_TARGET "${module}>=${least}")
    if(NOT ${target}_FOUND)
        muster_note_missing(${module} ${least} ${ARGN})
    endif()
endmacro()

# A library that Debian ships without a .pc file: the variables <variable>, and <variable>_INCLUDE, the folder of its header, which
# some have moved from /usr/include into a folder of its own (nanopb in Debian 13).
macro(muster_plain variable name header least)
    find_library(${variable} ${name})
    find_path(${variable}_INCLUDE ${header} PATH_SUFFIXES nanopb)
    if(NOT ${variable} OR NOT ${variable}_INCLUDE)
        muster_note_missing(${name} ${least} ${ARGN})
    endif()
endmacro()

#          target          module           least   Debian                Fedora              Alpine          Arch
muster_pkg(EVENT           libevent_core    2.1.8   libevent-dev          libevent-devel      libevent-dev    libevent)
muster_pkg(EVENT_OPENSSL   libevent_openssl 2.1.8   libevent-dev          libevent-devel      libevent-dev    libevent)
muster_pkg(PQ              libpq            14      libpq-dev             libpq-devel         libpq-dev       postgresql-libs)
muster_pkg(HIREDIS         hiredis          0.14    libhiredis-dev        hiredis-devel       hiredis-dev     hiredis)
muster_pkg(OPENSSL         openssl          3.0     libssl-dev            openssl-devel       openssl-dev     openssl)
muster_pkg(CRYPTO          libcrypto        3.0     libssl-dev            openssl-devel       openssl-dev     openssl)
muster_pkg(JANSSON         jansson          2.13    libjansson-dev        jansson-devel       jansson-dev     jansson)
muster_pkg(NETTLE          nettle           3.7     nettle-dev            nettle-devel        nettle-dev      nettle)
muster_pkg(CURL            libcurl          7.87    libcurl4-openssl-dev  libcurl-devel       curl-dev        curl)
muster_pkg(ZLIB            zlib             1.2.11  zlib1g-dev            zlib-devel          zlib-dev        zlib)
muster_pkg(ZSTD            libzstd          1.4.8   libzstd-dev           libzstd-devel       zstd-dev        zstd)
#            variable            name        header         least  Debian              Fedora             Alpine           Arch
muster_plain(WSLAY_LIBRARY       wslay       wslay/wslay.h  1.1.1  libwslay-dev        wslay-devel        wslay-dev        wslay)
muster_plain(HTTP_PARSER_LIBRARY http_parser http_parser.h  2.9.2  libhttp-parser-dev  http-parser-devel  http-parser-dev  http-parser)
muster_plain(NANOPB_LIBRARY      protobuf-nanopb pb_decode.h 0.4.4 libnanopb-dev   nanopb-devel       nanopb-dev       nanopb)
muster_plain(SNAPPY_LIBRARY      snappy      snappy-c.h     1.1.8  libsnappy-dev       snappy-devel       snappy-dev       snappy)

if(muster_missing)
    message(FATAL_ERROR "These libraries are missing, or too old:${muster_missing}\n"
        "docs/build.md has one command for each distribution. Debian and Ubuntu: make build-packages.")
endif()
add_library(ZLIB::ZLIB ALIAS PkgConfig::ZLIB)
