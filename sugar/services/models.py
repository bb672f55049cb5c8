"""The model as a person meets it: what is loaded, what it is good at, what else there is and at what cost.

    models = ModelService(workspace)
    models.own_words(), models.larger()           # the loaded model's own words; the preset to offer
    models.load("smolvlm-256m")                   # in the background; raises where the page may not do that
    models.adapters(); models.use("holiday")      # adapters that were taught here
    models.facts()                                # {"Device": "cpu", ...}

Not covered: loading itself (model_slot.py), downloads (sugar/model/hub.py).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from sugar.errors import InputError, SettingsError
from sugar.model.presets import PRESETS, Preset, find, first, here
from sugar.services.modes import mode_of
from sugar.services.workspace import Workspace
from sugar.settings import Settings

DOWNLOAD_RATE = 10e6
"""Bytes per second that the estimate of a download's time assumes: a line of 80 Mbit/s."""


def download_minutes(preset: Preset) -> float:
    """How long the download of a preset takes; 0 when there is nothing to download."""
    return preset.download_gb * 1e9 / DOWNLOAD_RATE / 60


class ModelService:
    """See the module docstring."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace, self.slot = workspace, workspace.models

    @property
    def exchangeable(self) -> bool:
        """Whether the page may load another model: not where strangers share it."""
        return mode_of(self.workspace.settings).exchange_model

    def own_words(self) -> tuple[str, str]:
        """What the loaded model answers well, and what it cannot do; "" for both while there is none."""
        model = self.slot.peek()
        return (model.profile.good_at, model.profile.limits) if model is not None else ("", "")

    def larger(self) -> Preset | None:
        """The preset to offer in place of a model whose profile calls itself small: the strongest that this
        machine's free memory holds; None where the page may not load it.
        """
        model = self.slot.peek()
        if model is None or not self.exchangeable or not model.profile.larger:
            return None
        from sugar.model.load import free_memory

        name = first(free_memory(model.device), cuda=model.device.startswith("cuda"))
        return find(model.profile.larger if PRESETS[name].encoder == "sugar" else name)

    def load(self, name: Any) -> None:
        """Load a preset, a folder or a Hub repository in the background.

        Raises:
            SettingsError: the model of a shared host is chosen where the app is started.
            InputError: no text. ModelError: there is no such preset or folder, and it is not the name of a
                repository.
            BusyError: another load runs.
        """
        if not self.exchangeable:
            raise SettingsError("Visitors cannot switch models. Restart with --model NAME.")
        if not isinstance(name, str) or not name.strip():
            raise InputError("Choose a preset, or give a folder or a repository such as owner/name.")
        if name not in PRESETS:
            here(name)
        self.slot.start(name)

    def adapters(self) -> list[str]:
        """Names of the adapters that can be used: those in memory, and those that were taught here."""
        model = self.slot.peek()
        kept = adapters_folder(self.workspace.settings)
        taught = [p.name for p in kept.iterdir() if p.is_dir()] if kept.is_dir() else []
        return sorted({*taught, *(model.adapters if model is not None else [])})

    def use(self, name: str) -> None:
        """Answer and embed with an adapter from now on, with the bare model where `name` is "".

        Raises:
            SettingsError: on a shared host. InputError: there is no such adapter.
            ModelError: it was trained on another model.
        """
        if not self.exchangeable:
            raise SettingsError("Visitors cannot switch models. Restart with --adapter NAME.")
        if name and name not in self.adapters():
            raise InputError("There is no adapter of that name. Choose one from the list.")
        model = self.workspace.model()
        if name and name not in model.adapters:
            model.load_adapter(adapters_folder(self.workspace.settings) / name, name)
        model.adapter = name or None

    def facts(self) -> dict[str, str]:
        """What is loaded and what it takes, by name. Empty while no model is loaded."""
        model = self.slot.peek()
        if model is None:
            return {}
        rows = {"Model": model.name, "Device": model.device, "Precision": model.precision}
        for title, attribute in FACTS.items():
            if value := getattr(model, attribute, None):
                rows[title] = str(value)
        from sugar.dtw import path_fault  # both import torch, which a loaded model has
        from sugar.retrieval.scoring import alignment_path

        rows["Aligns by"] = alignment_path(model.device)
        if fault := path_fault():
            rows["Alignment"] = f"torch, not triton: {fault}"
        return rows | {"Embedding": f"{model.dimension} numbers"} | memory()

    def card(self) -> str:
        """The loaded model's card, in Markdown."""
        model = self.slot.peek()
        return model.card if model is not None else ""


def adapters_folder(settings: Settings) -> Path:
    """Where adapters that were taught in the app are kept."""
    return settings.gallery_root / ".adapters"


FACTS = {"Why": "why", "Family": "family", "Embeds by": "encoder", "Adapter": "adapter"}
"""Optional rows of the facts, and the model's attribute for each."""


def memory() -> dict[str, str]:
    """Memory in use: of this process, and on the GPU where there is one."""
    import psutil

    used = {"Process memory": f"{psutil.Process().memory_info().rss / 1e9:.2f} GB"}
    torch = sys.modules.get("torch")  # a model in memory has imported it
    if torch is not None and torch.cuda.is_available():
        used["GPU memory"] = f"{torch.cuda.memory_allocated() / 1e9:.2f} GB"
    return used
