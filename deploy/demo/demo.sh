#!/bin/bash
# Shows Bandfleet at work: a server, five agents at two sites on simulated machines, a repair that pauses at a failed canary, goes
# on and is tried again, one that another person approves, the report; a service that dies and is started by a policy, with nobody there;
# then a NES host whose raised log levels go back by themselves, and a look at certificates. All of it is real (processes, mutual TLS, plugins,
# services as child processes); only the machines are made up. Any user may run it. Everything is in one temporary folder and is
# stopped at the end; KEEP=1 leaves it running and says how to use it.
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

# expect shows a command and ends the demo when its exit code is not the first argument.
expect() {
  local want=$1 code=0
  shift
  show "$@" || code=$?
  echo "exit code ${code}"
  if ((code == want)); then return 0; fi
  echo "demo: want exit code ${want}: see what was said before the command" >&2
  return 1
}

# newest_job prints the id of the job that was made last.
newest_job() {
  fleetctl get jobs --limit 1 -o name 2>/dev/null
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

# start_nes TOKEN NAME: a simulated NES host, whose agent takes changes for seconds and not only for minutes.
start_nes() {
  local token=$1 name=$2
  local machine="${dir}/machines/${name}" data="${dir}/agents/${name}"
  machines+=("${machine}")
  show fleet-agent sim init --role nes-host --hostname "${name}.example" "${machine}"
  fleet-agent sim set "${machine}" certificate valid-for=21d
  fleet-agent enroll --data-dir "${data}" --server "${address}" --token "${token}" --plugins "${root}/bin/plugins" --name "${name}" --host "sim:${machine}" >/dev/null
  fleet-agent run --data-dir "${data}" --host "sim:${machine}" --min-lease 5s >"${dir}/${name}.log" 2>&1 &
  agents+=($!)
  await is_online "${name}"
}

is_online() { fleetctl get terminals -s "online and name=$1" -o name | grep -qx "$1"; }

# levels_are_back NAME: the configuration of a NES host is, to the byte, as it was kept.
levels_are_back() { diff -r "${dir}/machines/$1/inetpub" "${dir}/configuration-before"; }

# healed NAME: the fault of the endpoint there is resolved, and known is by what.
healed() { fleetctl faults --since 1h --entry nbe-missing --terminal "$1" | grep -q 'resolved.* job '; }

all_online() {
  (($(fleetctl get terminals -o json | grep -cE '"online": *true') == ${#lyon[@]} + ${#basel[@]}))
}

say "1. A server. Its first start makes its own certificate authority and the administrator's access."
start_server

say "2. Two sites, and a token that lets machines in at each."
show fleetctl site add lyon
show fleetctl site add basel
echo "Policies remedy faults by themselves. For now they are stopped: first, people do it."
show fleetctl freeze --reason 'the desk does it itself'
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

say "4. The Bluetooth Endpoint of press 1 ends 3 s after each start; that of press 2 is stopped. Nobody there can sign in."
show fleet-agent sim set "${dir}/machines/lyon-press-1" service 'Nymi Bluetooth Endpoint' die-after=3s
show fleet-agent sim set "${dir}/machines/lyon-press-2" service 'Nymi Bluetooth Endpoint' stopped

say "5. What would be done? A dry run reads and changes nothing."
show fleetctl fix --site lyon ble-restart --dry-run

say "6. Do it, at the whole site. One machine is tried first. Its endpoint dies again, so the job pauses and the others are left alone."
expect 7 fleetctl fix --site lyon ble-restart --param stable_for=10s --reason 'endpoint down at press 2' --yes --timeout 5s
job=$(newest_job)

say "7. Why does it stand still? A person mends press 1 and lets the job go on. Success is said only after the service has held."
show fleetctl job why "${job}"
show fleet-agent sim set "${dir}/machines/lyon-press-1" service 'Nymi Bluetooth Endpoint' normal
show fleetctl job resume "${job}" --reason 'press 1 had a broken adapter, exchanged'
expect 3 fleetctl job watch "${job}"

say "8. Once more where it did not succeed."
expect 0 fleetctl job retry "${job}" --yes

say "9. Two people: ada asks at basel and wants the approval of another. Nothing starts until bob has looked at it and given it."
show fleetctl operator create ada --role operator --site basel --out "${dir}/ada.yaml"
show fleetctl operator create bob --role approver --site basel --out "${dir}/bob.yaml"
expect 0 fleetctl --config "${dir}/ada.yaml" fix --terminal basel-fill-1 ble-restart --param stable_for=10s --approvals 1 --reason INC-4711 --yes --no-wait
approved=$(newest_job)
digest=$(fleetctl job show "${approved}" | sed -n 's/^Digest: *//p')
show fleetctl --config "${dir}/bob.yaml" job show "${approved}"
expect 0 fleetctl --config "${dir}/bob.yaml" job approve "${approved}" --digest "${digest}" --reason 'looked at the plan'
expect 0 fleetctl --config "${dir}/ada.yaml" job watch "${approved}"

say "10. The record, to be filed: who asked and who approved, and what was done and checked on the machine."
show fleetctl get jobs
show fleetctl job report "${approved}" -f "${dir}/INC-4711.html"
show fleetctl job show "${approved}" basel-fill-1

say "11. What does a text on a screen mean? Where the same words stand for two things, the number is asked for first."
show fleetctl explain 'operation timed out'

say "12. Now nobody is there. Policies may act again, and the endpoint of fill 2 dies."
show fleetctl unfreeze --reason 'night shift'
show fleet-agent sim set "${dir}/machines/basel-fill-2" service 'Nymi Bluetooth Endpoint' stopped

say "13. A NES host: its logs are to say more while a fault is reproduced. That is held by a lease, here for 12 s."
nes_token=$(fleetctl token create --site lyon --role nes-host --uses 1 --ttl 1h -o name)
start_nes "${nes_token}" nes-lyon-1
show fleetctl site set lyon --nes-host nes-lyon-1=https://nes-lyon-1.example/nes
cp -r "${dir}/machines/nes-lyon-1/inetpub" "${dir}/configuration-before"
expect 0 fleetctl fix --host nes-lyon-1 verbose-logging --param state=on --param ttl=12s --reason INC-4730 --yes
show fleetctl diagnose nes-lyon-1 --check config -o wide
show fleetctl logs collect --host nes-lyon-1 --scope nes --include instance-config --folder "${dir}/logs"

say "14. Meanwhile: which certificates end soon? Every machine looks."
expect 0 fleetctl sweep certs --expiring 30d

say "15. The time is over: the agent has put the levels back, to the byte. It would have without the server, and after a restart."
await levels_are_back nes-lyon-1
show fleetctl diagnose nes-lyon-1 --check config -o wide

say "16. Meanwhile fill 2 has been remedied: seen, started by a policy, watched, over. This is what is found in the morning."
await healed basel-fill-2
show fleetctl faults --since 12h --entry nbe-missing
fault=$(fleetctl faults --since 12h --entry nbe-missing --terminal basel-fill-2 -o name)
show fleetctl fault show "${fault}"
