#!/bin/sh
# Installs the programs `lunatic` and `cargo-lunatic` from an archive of a release, after checking its SHA-256 hash.
#
#   sh install.sh [VERSION]
#
# VERSION is the release to install, such as 0.20.0; without it, the newest one.
# LUNATIC_INSTALL    the folder whose bin/ gets the programs: ~/.local unless set
# LUNATIC_DOWNLOADS  where the archives are: an address, or a folder of this machine
set -eu

repository=https://github.com/lunatic-rs/lunatic
downloads=${LUNATIC_DOWNLOADS:-$repository/releases/download}
folder=${LUNATIC_INSTALL:-$HOME/.local}/bin

fail() {
  echo "install.sh: $1" >&2
  exit 1
}

# fetch ADDRESS FILE
fetch() {
  case $1 in
    /*) cp "$1" "$2" ;;
    https://*)
      if command -v curl >/dev/null; then
        curl --proto '=https' --tlsv1.2 -fsSL "$1" -o "$2"
      elif command -v wget >/dev/null; then
        wget -q "$1" -O "$2"
      else
        fail "neither curl nor wget was found; install one of them"
      fi
      ;;
    *) fail "\`$1\` is neither an address that begins with https:// nor an absolute path" ;;
  esac || fail "cannot download $1"
}

# hash FILE
hash() {
  if command -v sha256sum >/dev/null; then
    sha256sum "$1"
  else
    shasum -a 256 "$1"
  fi | cut -d ' ' -f 1
}

case "$(uname -s) $(uname -m)" in
  "Linux x86_64") target=x86_64-unknown-linux-gnu ;;
  "Linux aarch64" | "Linux arm64") target=aarch64-unknown-linux-gnu ;;
  "Darwin arm64") target=aarch64-apple-darwin ;;
  "Darwin x86_64") target=x86_64-apple-darwin ;;
  *) fail "there is no archive for $(uname -s) on $(uname -m); build from source: cargo install --git $repository lunatic-cli cargo-lunatic" ;;
esac

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

version=${1:-}
if [ -z "$version" ]; then
  fetch "${LUNATIC_DOWNLOADS:-$repository/releases/latest/download}/VERSION" "$scratch/VERSION"
  version=$(cat "$scratch/VERSION")
fi
version=${version#v}
case $version in
  *[!0-9A-Za-z.-]* | "") fail "\`$version\` is not a version, such as 0.20.0" ;;
esac

name=lunatic-v$version-$target
archive=$scratch/$name.tar.gz
echo "downloading $name.tar.gz"
fetch "$downloads/v$version/$name.tar.gz" "$archive"
fetch "$downloads/v$version/$name.tar.gz.sha256" "$archive.sha256"

expected=$(cut -d ' ' -f 1 "$archive.sha256")
actual=$(hash "$archive")
[ "$actual" = "$expected" ] ||
  fail "the hash of $name.tar.gz is $actual, but $name.tar.gz.sha256 says $expected; nothing was installed"

tar -xzf "$archive" -C "$scratch"
mkdir -p "$folder"
for program in lunatic cargo-lunatic; do
  # A running program cannot be overwritten, but it can be replaced.
  cp "$scratch/$name/$program" "$folder/.$program.new"
  chmod 755 "$folder/.$program.new"
  mv "$folder/.$program.new" "$folder/$program"
done
echo "installed lunatic and cargo-lunatic $version in $folder"

case ":$PATH:" in
  *":$folder:"*) ;;
  *) echo "$folder is not in PATH: add it, for example with export PATH=\"$folder:\$PATH\"" ;;
esac
