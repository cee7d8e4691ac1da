#!/usr/bin/env bash
# Stock clients and lmk, both ways, every byte compared; --all runs every cell that can be, --help says more.
exec python3 "$(dirname "$0")/interop/matrix" "$@"
