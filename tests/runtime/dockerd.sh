#!/bin/sh
# Runs a Docker daemon, all of it in the folder given, until standard input ends: it outlives no
# parent, be that one killed. Then folder, bridge and containers are gone. Needs root on Linux.
set -u
folder=$1
trap "" HUP INT TERM
bridge=/sys/class/net/docker0
[ -e $bridge ] && keep=yes || keep=no
dockerd --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false \
    --data-root="$folder/data" --exec-root="$folder/exec" --pidfile="$folder/pid" \
    --host="unix://$folder/docker.sock" </dev/null &
daemon=$!
while read -r _; do :; done
kill $daemon
wait $daemon
rm -rf "$folder"
[ $keep = yes ] || ip link delete docker0
