#!/bin/sh
# sh recipes/oha.sh http://127.0.0.1:8080/introspect CLIENT_ID SECRET_FILE TOKENS RATE [options of oha]
#
# An open loop over a file of tokens, a line for each request. oha leaves out the time that requests wait for a connection
# unless it is told not to, which is what --latency-correction does here. It looks at statuses only, and sends the
# credentials as they are: letters that RFC 6749 section 2.3.1 wants encoded must not be in them.
set -eu
url=$1 client=$2 secret=$(cat "$3") tokens=$4 rate=$5
shift 5
bodies=$(mktemp)
trap 'rm -f "$bodies"' EXIT
# Form encoding (RFC 6749 appendix B) of the token's text.
jq -r '"token=" + (.token | @uri)' "$tokens" > "$bodies"
oha --no-tui -m POST -a "$client:$secret" -T application/x-www-form-urlencoded -Z "$bodies" -c 64 -z 30s -q "$rate" \
  --latency-correction --disable-compression "$@" "$url"
