#!/usr/bin/env bash
# Runs the suites named as arguments, one after another, and fails when one fails or takes longer than its bound.
#
# Bounds are seconds on two quiet cores with cold caches; YUNTING_BOUND_PERCENT stretches them on a busy machine.
# A suite that hangs is ended at three times its bound. The end is a table and a line with the number of tests.
set -uo pipefail
cd "$(dirname "$0")/.."

stretch=${YUNTING_BOUND_PERCENT:-100}
cargo=${CARGO:-cargo}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
results=()
failed_logs=()
failed=0
began=$SECONDS
child=
trap 'kill -TERM ${child:-} 2> /dev/null; exit 130' INT TERM

bound() {
  case $1 in
    format) echo 30 ;;
    build) echo 720 ;;
    build-soak) echo 1200 ;;
    lint) echo 480 ;;
    unit) echo 300 ;;
    rules) echo 60 ;;
    model) echo 300 ;;
    model-full) echo 3600 ;;
    tools) echo 1080 ;;
    tools-of-tests) echo 480 ;;
    schema) echo 180 ;;
    policies) echo 300 ;;
    faults) echo 600 ;;
    faults-full) echo 3600 ;;
    changes) echo 300 ;;
    changes-full) echo 7200 ;;
    storms) echo 180 ;;
    storms-full) echo 1800 ;;
    boundary) echo 180 ;;
    volumes) echo 120 ;;
    lab) echo 600 ;;
    between) echo 420 ;;
    city) echo 600 ;;
    lab-full) echo 3600 ;;
    *) echo "suites.sh: no suite is called '$1'" >&2; exit 2 ;;
  esac
}

command_of() {
  case $1 in
    format) echo "$cargo fmt --all --check" ;;
    build) echo "$cargo build --locked --workspace --all-targets" ;;
    lint) echo "$cargo clippy --locked --workspace --all-targets -- -D warnings" ;;
    # Always the whole workspace, never `-p`: another selection of packages is another set of features of what they share,
    # and so another compilation of it.
    unit) echo "$cargo test --locked --workspace --no-fail-fast --lib --bins --test drift --test samples" ;;
    rules) echo "$cargo test --locked --workspace --no-fail-fast --test crate_rules --test house_rules --test bozhou" ;;
    # Model and checker are compiled with optimisation in every profile.
    model) echo "$cargo test --locked --workspace --test model -- --nocapture" ;;
    model-full) echo "env YUNTING_MODEL=full $cargo test --locked --workspace --test model -- --nocapture" ;;
    tools) echo "${CARGO_TARGET_DIR:-target}/debug/yunting-tools" ;; # built by `build`
    tools-of-tests) echo "${CARGO_TARGET_DIR:-target}/debug/yunting-tools of-tests" ;;
    schema) echo "$cargo test --locked --workspace --test schema" ;;
    policies) echo "$cargo test --locked --workspace --test policies" ;;
    faults) echo "$cargo test --locked --workspace --test faults" ;;
    faults-full) echo "env YUNTING_FAULTS=full $cargo test --locked --workspace --test faults" ;;
    changes) echo "$cargo test --locked --workspace --test changes" ;;
    # It computes more than it waits, so it is built with optimisation: 2,556 s were seen.
    changes-full) echo "env YUNTING_CHANGES=full $cargo test --profile soak --locked --workspace --test changes" ;;
    build-soak) echo "$cargo build --profile soak --locked --workspace --bins" ;;
    storms) echo "$cargo test --locked --workspace --test storms" ;;
    storms-full) echo "env YUNTING_STORMS=full $cargo test --locked --workspace --test storms" ;;
    boundary) echo "$cargo test --locked --workspace --no-fail-fast --test boundary" ;;
    volumes) echo "$cargo test --locked --workspace --no-fail-fast --test volumes" ;;
    lab) echo "$cargo test --locked --workspace --test lab" ;;
    between) echo "env YUNTING_LAB=between $cargo test --locked --workspace --test lab" ;;
    city) echo "env YUNTING_LAB=city $cargo test --locked --workspace --test lab" ;;
    lab-full) echo "env YUNTING_LAB=full $cargo test --locked --workspace --test lab" ;;
  esac
}

need() {
  if ! command -v "$1" > /dev/null; then
    echo "$1 is missing: $2" >&2
    exit 2
  fi
}

# What failed and the first lines of why; a log's reader sees the end first.
reasons() {
  local log name
  for log in "$@"; do
    name=${log##*/}
    awk -v suite="${name#*-}" '
      /^---- .* ----$/ { left = 7 }
      /^failures:$|^test result:/ { left = 0 }
      left > 0 && NF { print suite ": " substr($0, 1, 600); left-- }' "$log"
  done
}

run() {
  local name=$1 limit took verdict=ok code
  limit=$(($(bound "$name") * stretch / 100))
  echo
  echo "== $name: $(command_of "$name") (at most $limit s)"
  local since=$SECONDS
  # In a process group of its own, so that what hangs is ended with all it started.
  # shellcheck disable=SC2046 # the command is words
  timeout --kill-after=30 $((limit * 3)) $(command_of "$name") > >(tee "$logs/${#results[@]}-$name") 2>&1 &
  child=$!
  wait "$child"
  code=$?
  wait
  took=$((SECONDS - since))
  if [ "$code" -eq 124 ]; then
    verdict="ended: it hung"
  elif [ "$code" -ne 0 ]; then
    verdict=failed
  elif [ "$took" -gt "$limit" ]; then
    verdict="too slow"
  fi
  if [ "$verdict" != ok ]; then
    failed=$((failed + 1))
    failed_logs+=("$logs/${#results[@]}-$name")
  fi
  results+=("$(printf '%-12s %-15s %6d s of %5d s' "$name" "$verdict" "$took" "$limit")")
  [ "$name" != build ] || [ "$code" -eq 0 ]
}

[ $# -gt 0 ] || { sed -n '2,5s/^# //p' "$0"; exit 2; }
for name in "$@"; do bound "$name" > /dev/null || exit 2; done
need "$cargo" "install Rust with rustup; rust-toolchain.toml names the version, rustup fetches it"
need git "install git: a suite reads which files are tracked"
case " $* " in
  *" schema "* | *" policies "* | *" faults"* | *" changes"* | *" storms"* | *" boundary "* | *" volumes "* | *" lab"* | *" between "* | *" city "* | *" tools"*)
    need go "install Go 1.26 or later: Kubernetes, etcd and what tests run beside them are built from source with it" ;;
esac

for name in "$@"; do
  run "$name" || { echo "nothing else is run: it does not compile"; break; }
done

echo
printf '%s\n' "${results[@]}"
cat "$logs"/* | awk -v suites=${#results[@]} -v failed=$failed -v took=$((SECONDS - began)) '
  /^test result:/ { for (i = 2; i <= NF; i++) { n[$i] += $(i - 1) } }
  END {
    printf "%d suites, %d of them not as they should be; %d tests passed, %d failed, %d ignored; %d s in all\n",
      suites, failed, n["passed;"], n["failed;"], n["ignored;"], took
  }'
reasons "${failed_logs[@]}"
[ "$failed" -eq 0 ]
