#!/bin/sh
# sh recipes/h2load.sh http://127.0.0.1:8080/introspect CLIENT_ID SECRET_FILE TOKEN_FILE [options of h2load]
#
# One token, over HTTP/2 with prior knowledge; with --h1, over HTTP/1.1. A closed loop that looks at statuses only. Letters
# that form encoding (RFC 6749 section 2.3.1) would change are refused in what is put together here.
set -eu
url=$1 client=$2 secret=$(cat "$3") token=$(cat "$4")
shift 4
case "$client$secret$token" in
*[!A-Za-z0-9._-]*) echo "client, secret and token may have letters, digits and ._- only" >&2 && exit 2 ;;
esac
body=$(mktemp)
trap 'rm -f "$body"' EXIT
printf 'token=%s' "$token" > "$body"
basic=$(printf '%s:%s' "$client" "$secret" | base64 | tr -d '\n')
h2load --clients 8 --max-concurrent-streams 8 --threads 1 --duration 10 --warm-up-time 2 --data "$body" \
  --header "authorization: Basic $basic" --header 'content-type: application/x-www-form-urlencoded' "$@" "$url"
