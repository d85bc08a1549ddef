#!/bin/bash
# Installs what the tests on real parts need, on Debian, as root. May be run again: what is there is left alone.
set -euo pipefail

packages=(gcc libc6-dev gcc-mingw-w64-x86-64-win32 wine wine64 systemd-container debootstrap iproute2 dbus strace)

if ((EUID != 0)); then
  echo 'test-real: needs root (it boots a container and makes network namespaces); run it with sudo' >&2
  exit 1
fi

missing=()
for package in "${packages[@]}"; do
  if [[ $(dpkg-query -W -f '${db:Status-Status}' "${package}" 2>/dev/null || true) != installed ]]; then
    missing+=("${package}")
  fi
done
if ((${#missing[@]} == 0)); then
  exit 0
fi

echo "test-real: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends "${missing[@]}"
