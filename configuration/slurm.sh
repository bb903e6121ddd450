#!/bin/bash
# Several nodes under SLURM. output_dir must be on a file system that all of them see. Example, from the repository:
#
#   sbatch configuration/slurm.sh --config kegg --text_model Qwen/Qwen3-8B --dna_model BGI-HangzhouAI/Genos-10B \
#       --deepspeed configuration/deepspeed/zero2.json
#
# The same command resumes a job that was stopped or ran out of time: for a run longer than the time limit submit it
# several times with `sbatch --dependency=singleton`. One that is preempted or loses a node is queued again by itself.
#SBATCH --job-name=textgenome
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

# Seconds that torchrun leaves its processes after SIGTERM, for a checkpoint.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=240
# srun does not take over the processors of the job by itself; it ends all nodes when one fails.
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK SLURM_KILL_BAD_EXIT=1
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun --nnodes "$SLURM_NNODES" --nproc_per_node "$SLURM_GPUS_ON_NODE" --rdzv_id "$SLURM_JOB_ID" \
    --rdzv_backend c10d --rdzv_endpoint "$head:$((20000 + SLURM_JOB_ID % 20000))" train_sft.py "$@"
