#!/bin/sh
# Builds the Telegraf that the InfluxDB benchmark compares with, with the four parts that it needs: build/telegraf beside
# this file. Wants go (1.23 or later); some minutes the first time, most of them for downloads. CI does not run it.
set -eu
cd "$(dirname "$0")"
command -v go >/dev/null || { echo "telegraf cannot be built here without go (Debian: golang)" >&2; exit 1; }
mkdir -p build
CGO_ENABLED=0 go build -tags custom,inputs.mqtt_consumer,outputs.influxdb_v2,parsers.xpath -ldflags '-s -w' \
  -o build/telegraf github.com/influxdata/telegraf/cmd/telegraf
