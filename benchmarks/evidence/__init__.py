"""What ``benchmarks/ablation.py`` is made of."""
