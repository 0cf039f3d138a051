#!/usr/bin/env bash
# Builds the hooks that are checked in, in every language whose tools are here,
# with the lines that the READMEs have:
#
#   ./build.sh                 all languages, into built/, and MANIFEST anew
#   ./build.sh -o DIR c rust   some of them, into DIR, and DIR/MANIFEST
#   ./build.sh -h check rust   one hook
#   ./build.sh -c c            says whether the tools of a language are here
#
# Needed are, for c: clang and lld; for rust: rustc with the target
# wasm32-unknown-unknown (in Debian: libstd-rust-dev-wasm32); for
# assemblyscript: npm ci in its folder.
set -euo pipefail
cd "$(dirname "$0")"
here=$PWD
hooks="check unwrap sign"
out=$here/built only_check=

while getopts ch:o: option; do
  case $option in
    c) only_check=1 ;;
    h) hooks=$OPTARG ;;
    o) out=$OPTARG ;;
    *) exit 2 ;;
  esac
done
shift $((OPTIND - 1))
languages=${*:-c rust assemblyscript}

# rust is the first rustc that has the target.
rust() {
  local one
  for one in "${RUSTC:-}" rustc /usr/bin/rustc; do
    if [ -n "$one" ] && dir=$("$one" --print target-libdir --target wasm32-unknown-unknown 2>/dev/null) && [ -d "$dir" ]; then
      echo "$one"
      return
    fi
  done
  return 1
}

have() {
  case $1 in
    c) command -v clang >/dev/null && command -v wasm-ld >/dev/null ;;
    rust) rust >/dev/null ;;
    assemblyscript) [ -x assemblyscript/node_modules/.bin/asc ] && command -v node >/dev/null ;;
    *) echo "no language $1" >&2; exit 2 ;;
  esac
}

version() {
  case $1 in
    c) echo "$(clang --version | head -n 1), $(wasm-ld --version)" ;;
    rust) "$(rust)" --version ;;
    assemblyscript) echo "asc $(node -p "require('./assemblyscript/node_modules/assemblyscript/package.json').version")" ;;
  esac
}

build() { # language hook file
  case $1 in
    c) (cd c && clang --target=wasm32 -O2 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--stack-first -o "$3" "$2.c") ;;
    rust) (cd rust && "$(rust)" --edition 2021 --target wasm32-unknown-unknown -O -C panic=abort -C lto \
      -C strip=symbols -C link-arg=-zstack-size=65536 --crate-type cdylib -o "$3" "$2.rs") ;;
    assemblyscript) (cd assemblyscript && npx --no-install asc "$2.ts" -O3 --runtime minimal --outFile "$3") ;;
  esac
}

for language in $languages; do
  if ! have "$language"; then
    echo "$language: its tools are not here" >&2
    exit 1
  fi
done
[ -z "$only_check" ] || exit 0

mkdir -p "$out"
out=$(cd "$out" && pwd)
{
  echo "# The modules in built/: tools, SHA-256, file. build.sh writes this; sha256sum -c reads it."
  for language in $languages; do
    mkdir -p "$out/$language"
    echo "# $language: $(version "$language")"
    for hook in $hooks; do
      build "$language" "$hook" "$out/$language/$hook.wasm" >&2
      chmod 644 "$out/$language/$hook.wasm"
      (cd "$out" && sha256sum "$language/$hook.wasm")
    done
  done
} >"$out/.manifest"
mv "$out/.manifest" "$out/MANIFEST"
# The demo's flows use two of them.
if [ "$out" = "$here/built" ]; then
  cp built/c/check.wasm built/c/unwrap.wasm "$here/../../flows/hooks/"
fi
