#!/bin/sh
# Installs MCP servers that others wrote into the folder $1, for the tests of tools. Versions are pinned; what is there stays.
set -eu
into=$1
mkdir -p "$into"
if [ ! -x "$into/python/bin/mcp-server-time" ]; then
    python3 -m venv "$into/python"
    "$into/python/bin/pip" install --quiet --disable-pip-version-check mcp-server-time==2026.10.19
fi
if [ ! -d "$into/node/node_modules/@modelcontextprotocol/server-everything" ]; then
    mkdir -p "$into/node"
    npm install --silent --no-audit --no-fund --prefix "$into/node" @modelcontextprotocol/server-everything@2026.8.31
fi
