#!/usr/bin/env bash
# Evaluate one config with several processes:  bash dist_test.sh CONFIG [GPUS] [any eval.py argument ...]
#
# GPUS is the number of processes on this machine: the second argument, else the variable GPUS, else one for each
# GPU found (one on a machine without a GPU). Several machines: run this on each with NNODES, NODE_RANK, MASTER_ADDR
# and PORT set, and a --work-dir that all of them share.
set -euo pipefail

if [[ ${BASH_SOURCE[0]} == "$0" ]]; then program=eval.py; fi # dist_train.sh reads this file, and says train.py

if [[ $# -lt 1 || $1 == -h || $1 == --help ]]; then
    sed -n '2,6s/^# \{0,1\}//p' "$0"
    [[ $# -ge 1 ]] && exit 0 || exit 2
fi

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if [[ -z ${PYTHON:-} ]]; then
    if [[ -x $here/.venv/bin/python ]]; then PYTHON=$here/.venv/bin/python; else PYTHON=python; fi
fi

config=$1
shift
gpus=${GPUS:-}
if [[ $# -gt 0 && $1 != -* ]]; then
    gpus=$1
    shift
fi
if [[ -z $gpus ]]; then
    gpus=$("$PYTHON" -c 'import torch; print(max(1, torch.cuda.device_count()))')
fi
if ! [[ $gpus =~ ^[1-9][0-9]*$ ]]; then
    echo "error: expected GPUS to be a number of processes, 1 or more, but got '$gpus'" >&2
    exit 2
fi

cores=$("$PYTHON" -c 'import os; print(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())')
threads=$((cores / gpus))
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((threads > 0 ? threads : 1))}
export MKL_NUM_THREADS=${MKL_NUM_THREADS:-$OMP_NUM_THREADS}

nodes=${NNODES:-1}
if [[ $nodes == 1 && -z ${PORT:-} ]]; then
    where=(--standalone)
else
    where=(--nnodes "$nodes" --node-rank "${NODE_RANK:-0}" --master-addr "${MASTER_ADDR:-127.0.0.1}"
        --master-port "${PORT:-29500}")
fi
# torchrun, less its own page of text when a process fails or a signal ends it: the program has said what went wrong
exec "$PYTHON" -c '
import logging, sys
from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
try:
    run.main(sys.argv[1:])
except ChildFailedError as error:
    sys.exit(max(1, error.get_first_failure()[1].exitcode))
except SignalException as error:
    sys.exit(128 + error.sigval)
' "${where[@]}" --nproc-per-node "$gpus" "$here/$program" --config "$config" --launcher pytorch "$@"
