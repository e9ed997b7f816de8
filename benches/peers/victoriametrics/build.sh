#!/bin/sh
# Builds VictoriaMetrics and vmalert from the module proxy of Go.
set -eu
cd "$(dirname "$0")"
go build -o target/ tool
