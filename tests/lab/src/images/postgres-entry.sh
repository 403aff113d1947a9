#!/bin/sh
# Starts PostgreSQL on the volume; makes the database on the first start.
#
# The volume is mounted at /var/lib/postgresql, the data lies in $PGDATA below it. A new database is made
# beside its place and moved there when complete, so that a crash on the first start leaves nothing half made.
# Needs writable /run/postgresql and /tmp. Environment: POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE (first start
# only), POSTGRES_USER and POSTGRES_DB (default: hall). Further arguments go to the server.
set -eu
umask 077

user=${POSTGRES_USER:-hall}
database=${POSTGRES_DB:-hall}

quoted() { printf '%s' "$1" | sed "s/$2/$2$2/g"; }

first_start() {
  password=${POSTGRES_PASSWORD:-}
  if [ -n "${POSTGRES_PASSWORD_FILE:-}" ]; then password=$(cat "$POSTGRES_PASSWORD_FILE"); fi
  if [ -z "$password" ]; then
    echo "POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE is needed on the first start" >&2
    exit 64
  fi
  new=$PGDATA.new
  rm -rf "$new"
  initdb --pgdata="$new" --username=postgres --no-locale --encoding=UTF8 --data-checksums \
    --auth-local=peer --auth-host=scram-sha-256 --no-instructions
  cat > "$new/pg_hba.conf" <<END
local all postgres peer
local all all scram-sha-256
host  all all all scram-sha-256
END
  role=$(quoted "$user" '"')
  name=$(quoted "$database" '"')
  secret=$(quoted "$password" "'")
  # Single-user mode reads one statement a line.
  postgres --single -D "$new" -c log_min_messages=error -c standard_conforming_strings=on postgres > /dev/null <<END
CREATE ROLE "$role" LOGIN PASSWORD '$secret'
CREATE DATABASE "$name" OWNER "$role"
END
  sync
  mv "$new" "$PGDATA"
  sync
}

# PostgreSQL's own lock names a process, which means nothing to a second pod on the same volume; this one is the
# kernel's and is held by the server until it ends.
exec 9> "$(dirname "$PGDATA")/.lock"
flock -n 9 || { echo "another server uses $PGDATA" >&2; exit 75; }

if [ ! -s "$PGDATA/PG_VERSION" ]; then first_start; fi
# A volume mounted with fsGroup is made group-writable, which the server refuses.
chmod 0700 "$PGDATA"

exec postgres -D "$PGDATA" \
  -c listen_addresses='*' \
  -c unix_socket_directories=/run/postgresql \
  -c jit=off \
  -c shared_buffers=32MB \
  -c max_connections=50 \
  -c log_timezone=Asia/Shanghai \
  -c timezone=Asia/Shanghai \
  "$@"
