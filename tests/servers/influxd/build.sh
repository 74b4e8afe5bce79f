#!/bin/sh
# Builds the InfluxDB servers that the tests run against, once: 2.7 as build/influxd beside this file, 1.8 in ../influxd1/build.
# Wants go (1.23 or later), cargo, protoc, clang and pkg-config; eight minutes the first time, seconds when it is cached.
set -eu
cd "$(dirname "$0")"
for tool in go cargo rustc protoc clang pkg-config; do
  command -v "$tool" >/dev/null || missing="${missing:-} $tool"
done
if [ -n "${missing:-}" ]; then
  echo "influxd cannot be built here without:$missing (Debian: golang cargo rustc protobuf-compiler clang pkg-config)" >&2
  exit 1
fi
mkdir -p build ../influxd1/build
GOBIN=$PWD/build go install github.com/influxdata/pkg-config
# The server's own compiler is pinned for its Rust part; the one that is here builds it as well.
RUSTUP_TOOLCHAIN=${RUSTUP_TOOLCHAIN:-$(rustup show active-toolchain 2>/dev/null | cut -d' ' -f1)}
[ -z "$RUSTUP_TOOLCHAIN" ] || export RUSTUP_TOOLCHAIN
export CGO_ENABLED=1 PKG_CONFIG="$PWD/build/pkg-config" RUSTC_WRAPPER="$PWD/rustc-capped"
go build -tags sqlite_foreign_keys,sqlite_json -ldflags '-s -w -X main.version=v2.7.12' \
  -o build/influxd github.com/influxdata/influxdb/v2/cmd/influxd
cd ../influxd1
go build -ldflags '-s -w -X main.version=1.8.10' -o build/influxd github.com/influxdata/influxdb/cmd/influxd
