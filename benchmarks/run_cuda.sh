#!/usr/bin/env bash
# What CI cannot run: the CUDA part of the tests, the agreement of the engines on CUDA, and their times.
#
#   benchmarks/run_cuda.sh [--wheels DIR] [--out DIR] [--python PYTHON] [--part NAME]... [--engine NAME]...
#
#   --wheels DIR     packages that this machine may lack; those it has are used as they are
#   --out DIR        where results and logs go; default: benchmarks/results/cuda, a new folder of a rehearsal
#   --python PYTHON  the Python that holds torch and jax; default: python3
#   --part NAME      tests, check, bench, scaling, large or cores; repeatable; default: all, in this order
#   --engine NAME    as crossgrad's --backend, in place of the parts' own; repeatable
#   --limit SECONDS  of each part; default: 530
#   --rehearse       the same on the CPU, as small as it can be: no device is needed
#
# Needs no network: the project runs from this checkout, torch, jax and numpy are the machine's own.
# Steps run one after the other, and one that fails stops no other. Each leaves DIR/STEP.log and,
# if it has results, DIR/STEP.json; DIR/summary.json tells how all ended, and on which device.
#
# Exit codes: 0 all went well, 1 a step failed, 2 nothing could run here.
set -uo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
here=$root/benchmarks/cuda
all_parts=(tests check bench scaling large cores)
wheels='' out='' python=python3 limit=530 rehearse='' parts=() engines=()

main() {
    read_arguments "$@"
    require_device
    [ "$out" ] || choose_out
    mkdir -p "$out" && out=$(cd "$out" && pwd) || refuse "cannot write to $out"
    make_overlay
    for part in "${parts[@]}"; do
        echo "== $part"
        deadline=$((SECONDS + limit))
        "part_$part"
    done
    summarize
}

# The CUDA part of the tests. Versions that CI does not know may warn of what they will change.
part_tests() {
    local select='(cuda or device_memory) and not run_cuda' require=torch,jax,cuda spread=()
    [ "$rehearse" ] && select='test_golden and numpy and cpu' require=numpy
    [ -z "$rehearse" ] && "$python" -c 'import xdist' 2>/dev/null && spread=(-n 4)
    CROSSGRAD_REQUIRE=$require OMP_NUM_THREADS=4 step tests "$python" -m pytest tests -k "$select" -q -rfE \
        --durations=10 --continue-on-collection-errors -W default -p no:cacheprovider \
        --junitxml "$out/tests.xml" "${spread[@]}"
}

# Every quantity of every engine before the judge, in each dtype.
part_check() {
    local networks=(article mnist-shape) dtypes=(float16 bfloat16 tf32 float32 float64)
    "$python" -c 'import sklearn' 2>/dev/null && networks+=(digits)
    [ "$rehearse" ] && networks=(article) dtypes=(float32)
    choose torch torch:func torch:compile torch:cudagraph jax || return
    for dtype in "${dtypes[@]}"; do
        step "check-$dtype" "$python" -m crossgrad check "${networks[@]}" "${chosen[@]}" --device "$device" \
            --dtype "$dtype" --format json --output "$out/check-$dtype.json"
    done
}

# Overhead, a small and a large batch, and a network that is all matrix products.
part_bench() {
    local dtypes=(--dtype float32 --dtype tf32 --dtype bfloat16)
    [ "$rehearse" ] && dtypes=(--dtype float32)
    choose torch torch:compile torch:cudagraph jax || return
    bench bench-article article "${dtypes[@]}"
    [ "$rehearse" ] && return
    bench bench-784-100-10 784-100-10 --batches 10,1024 "${dtypes[@]}"
    bench bench-1024-1024-1024 1024-1024-1024 --batch-size 512 "${dtypes[@]}"
}

# Three layers from what is all overhead to what fills the device.
part_scaling() {
    local widths=64,128,256,512,1024,2048,4096,8192
    [ "$rehearse" ] && widths=4,8
    choose torch torch:compile torch:cudagraph jax || return
    bench scaling --widths "$widths" --batch-size 128 --allow-large
}

# What the device can do at most. Most of the time goes to the judge, who works in float64 on the CPU.
part_large() {
    local case=(8192-8192-8192 --batch-size 8192 --dtype bfloat16)
    [ "$rehearse" ] && case=(16-16-16 --batch-size 16)
    choose torch torch:compile torch:cudagraph jax || return
    bench large "${case[@]}" --allow-large
}

# The engines beside what a user would write.
part_cores() {
    local effort=(--processes 3 --rounds 7)
    [ "$rehearse" ] && effort=(--only 1-1-1@1 --processes 1 --rounds 3)
    step cores "$python" benchmarks/cores.py --device "$device" --output "$out/cores.json" \
        "${effort[@]}"
}

# bench STEP ARGUMENTS...: a benchmark of the chosen engines. One process of each: five would import,
# compile and check anew for every network, and the part's time would end before the timing.
bench() {
    local name=$1 effort=(--processes 1 --rounds 15 --min-time 0.3)
    shift
    [ "$rehearse" ] && effort=(--processes 1 --rounds 3 --min-time 0.01)
    tables=yes step "$name" "$python" -m crossgrad bench "$@" "${chosen[@]}" "${effort[@]}" \
        --device "$device" --format json --output "$out/$name.json"
}

# step NAME COMMAND...: run it for at most what is left of the part's time, and note how it ended.
# SIGINT, because crossgrad and pytest then still write what they have; in the foreground, so that
# what ends this script ends the step too.
step() {
    local name=$1 left=$((deadline - SECONDS)) start=$SECONDS code
    shift
    rm -f "$out/$name.json" "$out/$name.xml"
    if [ "$left" -le 0 ]; then
        echo "no time was left for this step" >"$out/$name.log"
        code=124
    else
        timeout --foreground --signal=INT --kill-after=20 "$left" "$@" >"$out/$name.log" 2>&1 </dev/null
        code=$?
        if [ "$tables" ] && [ -f "$out/$name.json" ]; then
            "$python" -m crossgrad bench --load "$out/$name.json" >>"$out/$name.log" 2>&1
        fi
    fi
    "$python" "$here/record.py" "$out" "$name" "$code" $((SECONDS - start)) || code=1
    steps+=("$(printf '%-24s %5d s   %s' "$name" $((SECONDS - start)) "$(in_words "$code")")")
    [ "$code" -eq 0 ] || failed=1
    echo "${steps[${#steps[@]} - 1]}"
    [ "$code" -eq 0 ] || tail -n 5 "$out/$name.log" | sed 's/^/    /'
}

in_words() {
    case $1 in
        0) echo ok ;;
        124 | 137) echo "FAILED: ran out of time" ;;
        *) echo "FAILED: exit code $1" ;;
    esac
}

# choose ENGINE...: those of them that there are, or those that were named, as options of crossgrad.
choose() {
    local found
    [ "$rehearse" ] && set -- torch jax
    [ ${#engines[@]} -gt 0 ] && set -- "${engines[@]}"
    found=$("$python" "$here/engines.py" "$@")
    read -ra chosen <<<"$found"
    [ ${#chosen[@]} -gt 0 ] && return
    echo "none of these engines is here: $*"
    failed=1
    return 1
}

summarize() {
    echo "== summary, $name_of_device, results in $out"
    printf '%s\n' "${steps[@]}"
    exit "$failed"
}

# A folder before the machine's own packages, gone afterwards, and the checkout itself.
make_overlay() {
    overlay=$(mktemp -d) || refuse "cannot make a temporary folder"
    trap 'rm -rf "$overlay"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    "$python" "$here/overlay.py" "$overlay" ${wheels:+"$wheels"} || refuse "the wheels cannot be used"
    cd "$root" || refuse "cannot enter $root"
    export PYTHONPATH=$overlay:$root${PYTHONPATH:+:$PYTHONPATH}
    export PYTHONDONTWRITEBYTECODE=1
    export XLA_PYTHON_CLIENT_PREALLOCATE=false # the device is torch's too
    local problem needed='numpy, pydantic, pytest, rich, typer'
    [[ " ${parts[*]} " == *" tests "* ]] && needed+=', hypothesis, jsonschema'
    problem=$("$python" -c "import $needed" 2>&1) ||
        refuse "${problem##*$'\n'}; what $python lacks comes from a folder of wheels: --wheels DIR"
}

# A rehearsal has no figures that could stand in place of a device's.
choose_out() {
    out=$root/benchmarks/results/cuda
    [ -z "$rehearse" ] || out=$(mktemp -d) || refuse "cannot make a temporary folder"
}

require_device() {
    python=$(command -v "$python") || refuse "there is no such Python; name one: --python PYTHON"
    [[ $python == /* ]] || python=$PWD/$python
    device=cuda
    if [ "$rehearse" ]; then
        device=cpu name_of_device="a rehearsal on the CPU"
        return
    fi
    name_of_device=$(nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null) && [ "$name_of_device" ] ||
        refuse "no CUDA device here: nvidia-smi shows none"
}

read_arguments() {
    while [ $# -gt 0 ]; do
        case $1 in
            --help | -h) usage && exit 0 ;;
            --rehearse) rehearse=yes && shift && continue ;;
            --wheels | --out | --python | --part | --engine | --limit) ;;
            *) refuse "unknown argument $1; see --help" ;;
        esac
        [ $# -gt 1 ] || refuse "$1 needs a value"
        case $1 in
            --wheels) wheels=$(cd "$2" 2>/dev/null && pwd) || refuse "$2: no such folder" ;;
            --out) out=$2 ;;
            --python) python=$2 ;;
            --part) parts+=("$2") ;;
            --engine) engines+=("$2") ;;
            --limit) limit=$2 ;;
        esac
        shift 2
    done
    [ ${#parts[@]} -gt 0 ] || parts=("${all_parts[@]}")
    local part
    for part in "${parts[@]}"; do
        [[ " ${all_parts[*]} " == *" $part "* ]] || refuse "unknown part $part: expected ${all_parts[*]}"
    done
    [[ $limit =~ ^[0-9]+$ ]] || refuse "--limit $limit: expected seconds"
}

usage() {
    sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "$0"
}

refuse() {
    echo "run_cuda.sh: $*" >&2
    exit 2
}

steps=() failed=0 chosen=() tables=''
main "$@"
