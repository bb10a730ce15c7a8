from mamltui.api import AdaptedRun as AdaptedRun
from mamltui.api import MamltuiError as MamltuiError
from mamltui.api import Predictions as Predictions
from mamltui.api import Run as Run
from mamltui.api import evaluate as evaluate
from mamltui.api import load_profile as load_profile
from mamltui.api import table as table
from mamltui.api import train as train

__version__: str
