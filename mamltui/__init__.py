"""Train and evaluate Model-Agnostic Meta-Learning (Finn, Abbeel and Levine 2017) in the terminal."""

__version__ = "0.1.0"
