#!/bin/bash
# Packs a release of the agent: release.sh FOLDER PROGRAM PLUGINS [SCRIPT...]. FOLDER is made anew; SHA256SUMS in it names every file.
set -euo pipefail
folder=$1 program=$2 plugins=$3
shift 3

rm -rf "${folder}"
mkdir -p "${folder}/plugins"
cp "${program}" "${folder}/"
cp "${plugins}"/* "${folder}/plugins/"
for script in "$@"; do
  # cmd.exe wants its own line ends, whatever the checkout has.
  sed 's/\r*$/\r/' "${script}" > "${folder}/$(basename "${script}")"
done
cp docs/installation.md LICENSE "${folder}/"
sums=$(cd "${folder}" && find . -type f -printf '%P\n' | sort | xargs -d '\n' sha256sum)
printf '%s\n' "${sums}" > "${folder}/SHA256SUMS"
echo "packed ${folder}"
