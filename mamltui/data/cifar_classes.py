"""The classes of CIFAR-FS: which of CIFAR-100's are for training, for validation and for the test.

Bertinetto, Henriques, Torr and Vedaldi 2019, "Meta-learning with differentiable closed-form
solvers", drew them at random and published them beside the code of R2-D2, as the files train.txt,
val.txt and test.txt of splits/bertinetto. These are their names in alphabetical order.
"""

from __future__ import annotations

_TRAIN = """
apple aquarium_fish bear bee bottle bowl boy bridge bus can castle caterpillar chair clock
cloud cockroach couch cup dinosaur dolphin elephant forest girl hamster house kangaroo
keyboard lawn_mower lion lizard lobster mountain mouse mushroom oak_tree orange orchid
palm_tree pear pine_tree plate porcupine possum rabbit raccoon ray road seal shrew skunk
skyscraper snake spider squirrel streetcar sunflower tank tiger train trout tulip turtle
willow_tree wolf
"""
_VALIDATION = """
beaver beetle butterfly camel cattle crab crocodile flatfish lamp maple_tree motorcycle otter
sea shark television tractor
"""
_TEST = """
baby bed bicycle chimpanzee fox leopard man pickup_truck plain poppy rocket rose snail
sweet_pepper table telephone wardrobe whale woman worm
"""

TRAIN = tuple(_TRAIN.split())
VALIDATION = tuple(_VALIDATION.split())
TEST = tuple(_TEST.split())
