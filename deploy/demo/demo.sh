#!/bin/bash
# Shows Bandfleet at work: a server, five agents at two sites on simulated machines, a broken endpoint and its repair. All of
# it is real (processes, mutual TLS, plugins, services as child processes); only the machines are made up. Any user may run
# it. Everything is in one temporary folder and is stopped at the end; KEEP=1 leaves it running and says how to use it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
export PATH="${root}/bin:${PATH}"
dir=$(mktemp -d "${TMPDIR:-/tmp}/bandfleet-demo.XXXXXX")
keep=${KEEP:-0}
# Process ids of what runs in the background: the agents first, the server last.
agents=()
server=
machines=()

# The two sites and their terminals.
lyon=(lyon-press-1 lyon-press-2 lyon-pack-1)
basel=(basel-fill-1 basel-fill-2)

bold= plain=
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' plain=$'\e[0m'; fi

say() { printf '\n%s# %s%s\n' "${bold}" "$*" "${plain}"; }

# show prints a command as one would type it, then runs it.
show() {
  printf '%s$' "${bold}"
  printf ' %s' "${@@Q}" | sed -E "s/'([A-Za-z0-9_.\/:=,-]+)'/\1/g"
  printf '%s\n' "${plain}"
  "$@"
}

end_process() {
  kill "$1" 2>/dev/null || return 0
  for _ in {1..100}; do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
}

stop_all() {
  local pid machine
  for pid in "${agents[@]}"; do end_process "${pid}"; done
  for machine in "${machines[@]}"; do fleet-agent sim stop "${machine}" >/dev/null 2>&1 || true; done
  if [[ -n ${server} ]]; then end_process "${server}"; fi
  rm -rf "${dir}"
}

finish() {
  local code=$?
  trap - EXIT INT TERM
  if ((code != 0)); then
    echo "demo: stopped with exit code ${code}; the server's last words:" >&2
    tail -n 20 "${dir}/server.log" >&2 || true
  elif [[ ${keep} == 1 ]]; then
    explain_kept
    exit 0
  fi
  stop_all
  if ((code == 0)); then say "Everything that was started is stopped, and ${dir} is removed."; fi
  exit "${code}"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

explain_kept() {
  # What stops it all is written down, because this shell is gone by then.
  {
    echo '#!/bin/bash'
    echo "kill ${agents[*]} 2>/dev/null"
    for machine in "${machines[@]}"; do echo "'${root}/bin/fleet-agent' sim stop '${machine}' >/dev/null 2>&1"; done
    echo "kill ${server} 2>/dev/null"
    # No file is written any more when the folder goes.
    echo "while kill -0 ${agents[*]} ${server} 2>/dev/null; do sleep 0.1; done"
    echo "rm -rf '${dir}'"
  } >"${dir}/stop.sh"
  chmod +x "${dir}/stop.sh"
  say "It is left running. Use it:"
  echo "  export PATH='${root}/bin':\$PATH FLEETCTL_CONFIG='${dir}/server/admin.yaml'"
  echo "  fleetctl get terminals"
  echo "  fleet-agent sim set '${dir}/machines/lyon-press-1' service 'Nymi Bluetooth Endpoint' hang-on-stop"
  echo "  fleetctl fix --terminal lyon-press-1 ble-restart --param force_kill=true"
  say "Stop it, and remove its folder:"
  echo "  ${dir}/stop.sh"
}

# await runs a command until it succeeds, 20 s at most.
await() {
  for _ in {1..200}; do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "demo: this did not succeed within 20 s: $*" >&2
  "$@" >&2
}

# free_port prints a port of this machine on which nobody listens now.
free_port() {
  local port
  for _ in {1..50}; do
    port=$((20000 + RANDOM % 20000))
    if ! (exec 3<>"/dev/tcp/127.0.0.1/${port}") 2>/dev/null; then
      echo "${port}"
      return
    fi
  done
  echo 'demo: found no free port' >&2
  return 1
}

start_server() {
  address=127.0.0.1:$(free_port)
  printf '%s$ fleetd serve --data-dir %s --listen %s &%s\n' "${bold}" "${dir}/server" "${address}" "${plain}"
  fleetd serve --data-dir "${dir}/server" --listen "${address}" >"${dir}/server.log" 2>&1 &
  server=$!
  export FLEETCTL_CONFIG="${dir}/server/admin.yaml"
  await fleetctl whoami
  printf '%s$ export FLEETCTL_CONFIG=%s%s\n' "${bold}" "${FLEETCTL_CONFIG}" "${plain}"
}

# start_agent SITE-TOKEN NAME: a simulated machine, enrolled, with its agent running. $1 = quiet hides the commands.
start_agent() {
  local how=$1 token=$2 name=$3
  local machine="${dir}/machines/${name}" data="${dir}/agents/${name}"
  machines+=("${machine}")
  if [[ ${how} == shown ]]; then
    show fleet-agent sim init "${machine}"
    show fleet-agent enroll --data-dir "${data}" --server "${address}" --token "${token}" --plugins "${root}/bin/plugins" --name "${name}" --host "sim:${machine}"
    printf '%s$ fleet-agent run --data-dir %s --host sim:%s &%s\n' "${bold}" "${data}" "${machine}" "${plain}"
  else
    fleet-agent sim init "${machine}" >/dev/null
    fleet-agent enroll --data-dir "${data}" --server "${address}" --token "${token}" --plugins "${root}/bin/plugins" --name "${name}" --host "sim:${machine}" >/dev/null
  fi
  fleet-agent run --data-dir "${data}" --host "sim:${machine}" >"${dir}/${name}.log" 2>&1 &
  agents+=($!)
}

all_online() {
  (($(fleetctl get terminals -o json | grep -cE '"online": *true') == ${#lyon[@]} + ${#basel[@]}))
}

say "1. A server. Its first start makes its own certificate authority and the administrator's access."
start_server

say "2. Two sites, and a token that lets machines in at each."
show fleetctl site add lyon
show fleetctl site add basel
printf '%s$ fleetctl token create --site lyon --role user-terminal --uses 10 --ttl 1h -o name%s\n' "${bold}" "${plain}"
lyon_token=$(fleetctl token create --site lyon --role user-terminal --uses 10 --ttl 1h -o name)
echo "${lyon_token}"
basel_token=$(fleetctl token create --site basel --role user-terminal --uses 10 --ttl 1h -o name)

say "3. A machine is enrolled; its keys are made on it and never leave it. Then four more, the same way."
start_agent shown "${lyon_token}" "${lyon[0]}"
for name in "${lyon[@]:1}"; do start_agent quiet "${lyon_token}" "${name}"; done
for name in "${basel[@]}"; do start_agent quiet "${basel_token}" "${name}"; done
await all_online
show fleetctl get sites
show fleetctl get terminals

say "4. The Bluetooth Endpoint of one machine stops. Nobody there can sign in."
show fleet-agent sim set "${dir}/machines/lyon-press-2" service 'Nymi Bluetooth Endpoint' stopped

say "5. What would be done? A dry run reads and changes nothing."
show fleetctl fix --site lyon ble-restart --dry-run

say "6. Do it, at the whole site. Success is said only after the service has held for its settling time."
show fleetctl fix --site lyon ble-restart --param stable_for=10s --reason 'endpoint down at press 2' --yes

say "7. The record: what was done on each machine, what was checked, how long the endpoint was down."
job=$(fleetctl get jobs -o name | head -n 1)
show fleetctl job show "${job##*/}"

say "8. An endpoint that dies again 5 s after it was started is reported as such, never as success: exit code 3. It was the first to be tried, so the others are left alone."
show fleet-agent sim set "${dir}/machines/basel-fill-1" service 'Nymi Bluetooth Endpoint' die-after=5s
code=0
show fleetctl fix --site basel ble-restart --param stable_for=10s --on-limit stop --yes || code=$?
echo "exit code ${code}"
if ((code != 3)); then
  echo 'demo: want exit code 3, because the endpoint of basel-fill-1 dies within its settling time' >&2
  exit 1
fi
