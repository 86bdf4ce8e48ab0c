#!/usr/bin/env bash
# The quick start and its unchanged second run, with wall time, peak memory and the share of overhead.
#   benchmarks/quickstart.sh [STORE]     (default: a new folder, so that nothing is cached)
# Memory is the largest sum of proportional set sizes (PSS) of all processes of the run, sampled every ten seconds.
set -euo pipefail
cd "$(dirname "$0")/.."
store="${1:-$(mktemp -d)/store}"

sampled() {  # the largest memory of all processes so far, while process $1 runs, into file $2
  local peak=0
  while kill -0 "$1" 2>/dev/null; do
    local sum=0
    for pid in $(ps -e -o pid=,args= | grep -E "atelier|ray|uvicorn" | grep -v -E "grep|quickstart.sh" | awk '{print $1}'); do
      kb=$(awk '/^Pss:/ {print $2}' "/proc/$pid/smaps_rollup" 2>/dev/null || true)
      sum=$((sum + ${kb:-0}))
    done
    [ "$sum" -gt "$peak" ] && peak=$sum
    echo $((peak / 1024)) >"$2"
    sleep 10  # reading the sizes slows the processes read
  done
}

measured() {
  local began peak
  began=$(date +%s.%N)
  peak=$(mktemp)
  setsid "$@" & local leader=$!
  sampled "$leader" "$peak" & local sampler=$!
  wait "$leader"
  echo "$round run: $(echo "$(date +%s.%N) - $began" | bc) s"
  kill "$sampler"
  echo "peak memory: $(cat "$peak") MB"
}

for round in first second; do
  measured .venv/bin/atelier run --set "store.url=$store"
done
.venv/bin/python - "$store" <<'PYTHON'
import json, pathlib, sys
first = sorted(pathlib.Path(sys.argv[1]).glob("runs/*/run.json"))[0]
record = json.loads(first.read_text())
print("overhead of the first run:", record["overhead"], "of", record["seconds"], "s")
for stage in record["stages"]:
    print(f"  {stage['name']:<10} {stage['family'] or '':<12} {stage['seconds']:7.1f} s, {stage['work_seconds']:7.1f} s of it work")
PYTHON
