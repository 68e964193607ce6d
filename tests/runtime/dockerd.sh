#!/bin/sh
# Runs a Docker daemon, all of it in the folder given, until standard input ends: it outlives no
# parent, be that one killed. Then folder, bridge and containers are gone. Needs root on Linux.
set -u
folder=$1
bridge=/sys/class/net/docker0
[ -e $bridge ] && keep=yes || keep=no
exec 3<&0
dockerd --iptables=false --ip6tables=false --ip-masq=false --ip-forward=false \
    --data-root="$folder/data" --exec-root="$folder/exec" --pidfile="$folder/pid" \
    --host="unix://$folder/docker.sock" 3<&- </dev/null &
daemon=$!
trap 'kill $daemon' HUP INT TERM
{ cat <&3 >/dev/null; kill $daemon; } &
parent=$!
# A signal ends a wait.
while kill -0 $daemon 2>/dev/null; do wait $daemon; done
kill $parent 2>/dev/null
rm -rf "$folder"
[ $keep = yes ] || [ ! -e $bridge ] || ip link delete docker0
