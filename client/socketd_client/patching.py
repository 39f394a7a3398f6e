"""Attributes of modules and classes that are replaced for a time, by several threads and one in another."""

from __future__ import annotations

import pkgutil
import threading
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Layer: TypeAlias = "Mapping[tuple[str, str], object]"


class Patches:
    """The layers of replacements, the last on top; under them what was there before the first.

    A layer's keys are of ``pkgutil.resolve_name``'s words for a module or class, and a name in it. Layers may
    end in any order, for their threads do: what is then shown is the topmost that is left.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come in between
        self._originals: dict[tuple[str, str], object] = {}
        self._owners: dict[str, object] = {}  # by name: at the interpreter's end there is no import any more
        self._layers: list[Layer] = []

    def push(self, layer: Layer) -> None:
        """Put a layer on top."""
        with self._lock:
            for owner, name in layer:
                found = self._owners.setdefault(owner, pkgutil.resolve_name(owner))
                self._originals.setdefault((owner, name), getattr(found, name))
            self._layers.append(layer)
            self._show()

    def remove(self, layer: Layer) -> None:
        """Take a layer away, wherever it is."""
        with self._lock:
            self._layers = [each for each in self._layers if each is not layer]
            self._show()
            if not self._layers:
                self._originals.clear()

    def _show(self) -> None:
        shown = dict(self._originals)
        for layer in self._layers:
            shown.update(layer)
        for (owner, name), value in shown.items():
            setattr(self._owners[owner], name, value)


PATCHES: Final = Patches()
