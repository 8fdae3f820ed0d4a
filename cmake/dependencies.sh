# shellcheck shell=sh
# Sourced by test.sh and demo.sh. need PACKAGE...: installs what is missing of these Debian packages.
need() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing="$missing $package"
  done
  [ -z "$missing" ] && return
  if ! command -v apt-get >/dev/null; then
    echo "no apt-get here: make sure that these are installed:$missing" >&2
    return
  fi
  as_root=
  [ "$(id -u)" = 0 ] || as_root=sudo
  echo "installing$missing"
  $as_root apt-get -qq update
  # shellcheck disable=SC2086  # a list of words
  $as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -qq install -y --no-install-recommends $missing >/dev/null
}
