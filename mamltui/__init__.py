"""Model-Agnostic Meta-Learning (Finn, Abbeel and Levine 2017), trained in the terminal."""

__version__ = "0.1.0"
