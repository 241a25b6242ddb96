#!/bin/bash
#SBATCH --requeue --open-mode=append --signal=B:USR1@120
# One run as a Slurm job. By hand, from the root of the repository:
#   sbatch experiments/job.sh .venv-train/bin/python -m cnnpaper train --study full --model alexnet
# `make experiments CLUSTER=slurm` submits an array: task N does line N of the file $COMMANDS.
#
# Slurm sends USR1 two minutes before the time limit (and before preemption where it is so
# configured). The run is then told to save and to stop, and the job is queued again. A run that
# saves its state exits with 143; passed on, Slurm would take that for a failure.
set -u

if [ -n "${COMMANDS:-}" ]; then
    # lines that this repository has written, with shell quotes
    eval "set -- $(sed -n "${SLURM_ARRAY_TASK_ID}p" "$COMMANDS")"
fi
[ -z "${SETUP:-}" ] || . "$SETUP"

job=$SLURM_JOB_ID
[ -z "${SLURM_ARRAY_JOB_ID:-}" ] || job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID

asked=
stop() {
    asked=yes
    scancel --signal=TERM "$SLURM_JOB_ID.0"
}
trap stop USR1

srun --ntasks=1 --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" "$@" &
while wait $!; status=$?; [ "$status" -eq 138 ]; do :; done # 138: the trap interrupted wait

case $status in
130 | 143) # stopped, its state is saved
    [ -z "$asked" ] || scontrol requeue "$job"
    # Slurm ends this shell: preemption queues the job again, scancel leaves it cancelled
    sleep 1800 &
    wait $!
    ;;
esac
exit "$status"
