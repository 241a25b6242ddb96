#!/bin/bash
# A Slurm of one node for tests, in folder $1, in the foreground until standard input ends.
# Prints "ready". Partitions: low (preempted by requeueing, ten seconds of grace) and high.
set -u
place=$1
node=$(hostname -s)
mkdir -p "$place/state" "$place/spool"
cat > "$place/slurm.conf" <<CONF
ClusterName=tests
SlurmctldHost=$node
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
MinJobAge=3600
SchedulerParameters=bf_interval=1,sched_min_interval=0
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
NodeName=$node CPUs=2 State=UNKNOWN
PartitionName=low Nodes=$node Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=10
PartitionName=high Nodes=$node MaxTime=INFINITE State=UP PriorityTier=2 PreemptMode=OFF
CONF
export SLURM_CONF=$place/slurm.conf
mkdir -p /run/munge /var/log/munge /var/lib/munge /etc/munge
[ -s /etc/munge/munge.key ] || head -c 1024 /dev/urandom > /etc/munge/munge.key
chown -R munge: /run/munge /var/log/munge /var/lib/munge /etc/munge
chmod 400 /etc/munge/munge.key
chmod 755 /run/munge

processes=()
end() {
    for process in "${processes[@]}"; do kill "$process" 2>/dev/null; done
    wait
    exit
}
trap end EXIT
if ! munge -n >/dev/null 2>&1; then
    setpriv --reuid=munge --regid=munge --clear-groups /usr/sbin/munged --foreground 2>"$place/munged.log" &
    processes+=($!)
    for _ in {1..50}; do munge -n >/dev/null 2>&1 && break; sleep 0.1; done
fi
/usr/sbin/slurmctld -D >/dev/null 2>"$place/slurmctld.err" &
processes+=($!)
/usr/sbin/slurmd -D >/dev/null 2>"$place/slurmd.err" &
processes+=($!)
for _ in {1..200}; do
    [ "$(sinfo -h -p low -o %T 2>/dev/null)" = idle ] && { echo ready; break; }
    sleep 0.1
done
cat >/dev/null
