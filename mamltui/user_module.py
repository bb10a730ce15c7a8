"""The network that a profile names by ``network.module``: imported, constructed, looked at.

Importing runs code, so it happens only where a network is about to compute: a training, a resume,
an evaluation, an adaptation. Listing and reading run folders does not come here. The code is looked
for where Python looks and in the current folder, never in a run folder, and only a subclass of
``torch.nn.Module`` is called.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from importlib import import_module
from inspect import isabstract, signature
from pathlib import Path

from torch import nn

from mamltui.errors import UsageError
from mamltui.maml.own_network import ModuleNetwork, UnfitModuleError, offered
from mamltui.maml.own_network_trial import try_out
from mamltui.profiles import Profile
from mamltui.text import shortened


def module_network(profile: Profile, *, way: int, channels: int, image_size: int) -> ModuleNetwork:
    """Import, construct and try the module that a profile names.

    Raises:
        UsageError: it cannot be imported, is no module, cannot be constructed, or cannot be
            meta-learned; the text says which, and why.
    """
    where = f"profile {profile.name}: network.module = {profile.network.module}"
    kind = find_class(profile.network.module, where)
    arguments = {name: _listed(value) for name, value in profile.network.arguments}
    offers = offered(kind, way=way, channels=channels, image_size=image_size)
    make = partial(kind, **{**offers, **arguments})
    try:
        network = ModuleNetwork.of(
            make,
            profile.network.module,
            json.dumps(arguments, sort_keys=True),
            way=way,
            channels=channels,
            image_size=image_size,
        )
        try_out(network, second_order=_is_second_order(profile))
    except UnfitModuleError as error:
        raise UsageError(f"it cannot be meta-learned: {error}", where=where) from error
    except Exception as error:  # whatever the user's code raises
        given = ", ".join(f"{name}={value!r}" for name, value in make.keywords.items())
        raise UsageError(
            f"it cannot be constructed: {_shown(error)}",
            where=where,
            hint=f"It was called with ({shortened(given, 200)}), and takes {_signature(kind)}; "
            "network.arguments are passed on, and way, channels and image_size where it has "
            "parameters of these names.",
        ) from error
    if profile.algorithm in ("anil", "boil") and not network.head_names():
        raise UsageError(
            f"{profile.algorithm} tells head and body apart, and its last layer is not a linear "
            f"one with {way} outputs",
            where=where,
        )
    return network


def find_class(name: str, where: str) -> type[nn.Module]:
    """The class ``package.module:Class``.

    Raises:
        UsageError: it cannot be imported, or is something else.
    """
    module_name, _, path = name.partition(":")
    here = str(Path.cwd())
    # Last, so that nothing there stands in for what is installed; for good, as modules import
    # others later.
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        target: object = import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or module_name
        raise UsageError(
            f"there is no Python module {missing}, "
            + ("" if missing == module_name else f"which {module_name} imports, ")
            + "neither installed nor in the current folder",
            where=where,
            hint="Install it, set PYTHONPATH to its folder, or start where its file is.",
        ) from error
    except Exception as error:  # whatever the user's code raises
        raise UsageError(
            f"{module_name} cannot be imported: {_shown(error)}", where=where
        ) from error
    for part in path.split("."):
        try:
            target = getattr(target, part)
        except AttributeError:
            raise UsageError(f"{module_name} has no class {path}", where=where) from None
    if not isinstance(target, type) or not issubclass(target, nn.Module):
        raise UsageError(
            f"{path} is not a class of torch modules: it has to be a subclass of torch.nn.Module",
            where=where,
        )
    if isabstract(target):
        raise UsageError(f"{path} is abstract: name a class derived from it", where=where)
    return target


def _is_second_order(profile: Profile) -> bool:
    return profile.algorithm not in ("fomaml", "reptile") and profile.inner.steps > 0


def _listed(value: object) -> object:
    """Tuples as the lists that were written."""
    return [_listed(each) for each in value] if isinstance(value, tuple) else value


def _shown(error: Exception) -> str:
    return shortened(f"{type(error).__name__}: {error}", 300)


def _signature(kind: type[nn.Module]) -> str:
    try:
        return shortened(str(signature(kind)), 200)
    except (TypeError, ValueError):
        return "other arguments"
