#!/bin/sh
# Fetch the dashboard's libraries again, as npm has them: `make vendor`. Nothing in them is changed.
# To take a newer one, change its version here and run it; SOURCES.txt then says what came.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "# file, npm package, version, licence, file in the package, sha256; written by fetch.sh" > "$work/SOURCES.txt"
: > "$work/LICENSES.txt"

# vendor FILE PACKAGE VERSION LICENCE PATH LICENCE-FILE
vendor() {
  archive=$(cd "$work" && npm pack --silent "$2@$3" 2>/dev/null)
  mkdir -p "$work/$1.d"
  tar -xzf "$work/$archive" -C "$work/$1.d"
  cp "$work/$1.d/package/$5" "$1"
  chmod 644 "$1"
  echo "$1  $2  $3  $4  $5  $(sha256sum "$1" | cut -d' ' -f1)" >> "$work/SOURCES.txt"
  { echo "==== $1: $2 $3, $4"; echo; cat "$work/$1.d/package/$6"; echo; } >> "$work/LICENSES.txt"
}

vendor capnweb.js capnweb 0.12.0 MIT dist/index.js LICENSE.txt
vendor uplot.js uplot 1.6.32 MIT dist/uPlot.esm.js LICENSE
vendor uplot.css uplot 1.6.32 MIT dist/uPlot.min.css LICENSE
vendor inter.woff2 @fontsource-variable/inter 5.3.0 OFL-1.1 files/inter-latin-wght-normal.woff2 LICENSE

mv "$work/SOURCES.txt" "$work/LICENSES.txt" .
