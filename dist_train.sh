#!/usr/bin/env bash
# Train one config with several processes:  bash dist_train.sh CONFIG [GPUS] [any train.py argument ...]
#
# GPUS is the number of processes on this machine: the second argument, else the variable GPUS, else one for each
# GPU found (one on a machine without a GPU). Several machines: run this on each with NNODES, NODE_RANK, MASTER_ADDR
# and PORT set, and a --work-dir that all of them share. Each process has the config's batch size.
set -euo pipefail

program=train.py
source "$(dirname "${BASH_SOURCE[0]}")/dist_test.sh"
