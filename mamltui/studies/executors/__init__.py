"""Where the trainings of a study run: this machine, a Ray cluster, Slurm."""
