#!/usr/bin/env bash
# Breaks a safety property in a copy of the tree, one after another, and fails when its test does not see it.
#
# Each tests/mutants/<name>.patch says in its first lines what it breaks and which suite and test must fail with it.
# Names as arguments choose some. The copy is of the files that git tracks, as they lie in the work tree; it is built
# beside the true one, in a target directory of its own.
set -uo pipefail
cd "$(dirname "$0")/.."

cargo=${CARGO:-cargo}
base=$(realpath -m "${CARGO_TARGET_DIR:-target}")/mutants
src=$base/src
log=
results=()
failed=0
began=$SECONDS

copy() {
  rm -rf "$src" && mkdir -p "$src"
  git ls-files -z | tar --null --files-from=- --create | tar --extract --directory "$src"
  # A tree of its own: inside ours, git would take the patches' paths for paths of ours.
  git init --quiet "$src"
}

field() { sed -n "s/^$1: //p" "$2" | head -1; }

in_copy() { (cd "$src" && CARGO_TARGET_DIR=$base/target "$@"); }

# The selection of packages is always the whole workspace: another one would be another compilation.
build() {
  case $1 in
    unit) in_copy "$cargo" test --locked --quiet --workspace --lib --no-run ;;
    *) in_copy "$cargo" build --locked --quiet --workspace --bins --test "$1" ;;
  esac
}

command_of() {
  case $1 in
    unit) echo "$cargo test --locked --workspace --no-fail-fast --lib -- $2" ;;
    *) echo "$cargo test --locked --workspace --test $1 -- $2" ;;
  esac
}

# A test must have failed, and none that the name chooses may be missing: what does not compile or start catches nothing.
caught() {
  # shellcheck disable=SC2046 # the command is words
  in_copy timeout --kill-after=30 1800 $(command_of "$1" "$2") > "$log" 2>&1 && return 1
  grep -q '^test result: FAILED' "$log"
}

mutant() {
  local patch=tests/mutants/$1.patch suite test verdict
  [ -f "$patch" ] || { echo "no mutant is called '$1'" >&2; exit 2; }
  suite=$(field Suite "$patch")
  test=$(field Test "$patch")
  echo "== $1: $(head -1 "$patch")"
  local since=$SECONDS
  log=$base/$1.log
  if ! git -C "$src" apply "$PWD/$patch"; then
    echo "$patch does not fit the tree any more: write it anew" >&2
    failed=$((failed + 1))
    results+=("$1: its patch does not fit")
    return
  fi
  if ! build "$suite" > "$log" 2>&1; then
    tail -30 "$log"
    verdict="does not compile"
    failed=$((failed + 1))
  elif caught "$suite" "$test"; then
    verdict="caught by $suite/$test"
    awk '/^---- .* ----$/ { left = 5 } left > 0 && NF { print "   " substr($0, 1, 300); left-- }' "$log"
  else
    tail -30 "$log"
    verdict="NOT caught by $suite/$test"
    grep -q '^test result:' "$log" || verdict="$suite did not run"
    failed=$((failed + 1))
  fi
  # Taken back with a new time of change, so that cargo sees it.
  git -C "$src" apply --reverse "$PWD/$patch"
  results+=("$(printf '%-22s %-60s %5d s' "$1" "$verdict" $((SECONDS - since)))")
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for patch in tests/mutants/*.patch; do names+=("$(basename "$patch" .patch)"); done
fi
copy
for name in "${names[@]}"; do mutant "$name"; done
echo
printf '%s\n' "${results[@]}"
echo "${#names[@]} mutants, $failed not as they should be; $((SECONDS - began)) s in all"
[ "$failed" -eq 0 ]
