"""Gallery -> "Teach the model these captions": a short LoRA run on a gallery's captions, in the background.

    teach = TeachService(workspace, jobs, mode)
    # jobs.of(visitor) shows progress; jobs.cancel ends it
    job = teach.start(visitor, gallery, TeachRequest("holiday"))
    job.state().result  # TeachResult: figures before and after, the adapter's name

It trains a copy of the loaded model, so the app goes on answering. Part of the captions is kept aside; the
figures are measured on those. On one's own machine only. Not covered: other data and recipes (`python -m
sugar train`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sugar.errors import Cancelled, InputError, SettingsError
from sugar.services.jobs import Job, Jobs
from sugar.services.models import adapters_folder
from sugar.services.modes import Mode
from sugar.services.visitors import Visitor
from sugar.services.workspace import Workspace

LEAST = 20
"""Captioned pictures that a run needs."""

MEASURED = 15
"""Captions kept aside from which the result says what the run brought."""


@dataclass(frozen=True)
class TeachRequest:
    """gallery: whose captions.

    name: of the adapter, made of the gallery's where empty. steps: of training.
    """

    gallery: str
    name: str = ""
    steps: int = 60


@dataclass(frozen=True)
class TeachResult:
    """Percent on the captions kept aside, before and after. adapter: its name on the Model tab."""

    adapter: str
    folder: Path
    captions: int
    kept_aside: int
    before: dict[str, float]
    after: dict[str, float]

    def __str__(self) -> str:
        was, now = (figures["R@1"] for figures in (self.before, self.after))
        there = f"The adapter {self.adapter} is on the Model tab."
        if self.kept_aside < MEASURED:
            return (
                f"{self.captions} captions were taught. {self.kept_aside} kept aside are too few to say what "
                f"that brought; {MEASURED} would do. {there}"
            )
        told = (
            f"Of {self.kept_aside} captions kept aside, the right picture came first for {was:.0f} % before "
            f"and {now:.0f} % after."
        )
        return f"{told} {there}" if now > was else f"{told} There was nothing to gain. {there}"


class TeachService:
    """Starts runs. jobs: where they run."""

    def __init__(self, workspace: Workspace, jobs: Jobs, mode: Mode) -> None:
        self.workspace, self.jobs, self.mode = workspace, jobs, mode

    def start(self, visitor: Visitor, gallery: Any, request: TeachRequest) -> Job:
        """Queue a run on an open gallery; returns at once.

        Raises:
            SettingsError: in another mode than personal. InputError: too few captions, or a name that cannot
                be a folder's. BusyError: the visitor has too many jobs.
        """
        from sugar.training.data.gallery import GalleryCaptions

        if not self.mode.one_person:
            raise SettingsError(
                "Teaching needs the machine for minutes, so it is offered on one's own machine only."
            )
        name = request.name.strip() or f"{request.gallery} captions"
        if not re.fullmatch(r"[\w][\w .-]{0,80}", name):
            raise InputError(
                f"{name!r} cannot name an adapter. Use letters, digits, spaces, dots and dashes."
            )
        captions = GalleryCaptions(gallery, name=request.gallery)
        if len(captions) < LEAST:
            raise InputError(
                f"The gallery has {len(captions)} captions of yours; teaching needs {LEAST} at least."
            )
        base = self.workspace.model()
        if base.folder is None:
            raise InputError(f"{base.name} lives in memory only. Save it and open the folder first.")
        out = self.workspace.settings.gallery_root / ".teaching" / name

        def work(job: Job) -> TeachResult:
            result = self._train(job, captions, str(base.folder), out, replace(request, name=name))
            model = self.workspace.model()
            if name in model.adapters:
                model.unload_adapter(name)
            model.load_adapter(result.folder, name)
            return result

        return self.jobs.start(visitor, "teach", request.gallery, work)

    def _train(self, job: Job, captions: Any, base: str, out: Path, request: TeachRequest) -> TeachResult:
        """Train, and measure before and after."""
        import shutil

        from sugar.training.adapter import AdapterTask
        from sugar.training.data.mixture import Mixture
        from sugar.training.loop import Stopped, train
        from sugar.training.recipes import OWN

        shutil.rmtree(out, ignore_errors=True)
        job.report(0, request.steps, "reading the captions")
        config = replace(
            OWN,
            base=base,
            out=str(out),
            steps=request.steps,
            validate_every=max(1, request.steps // 3),
            save_every=request.steps + 1,
            trackers="",
            data=(f"gallery={request.gallery}",),
        )
        task = AdapterTask(config, Mixture([captions], seed=config.seed, held_out=config.held_out))
        before = task.validation.measure(0, adapter=None)
        assert before is not None, "LEAST keeps at least two captions aside"

        def progress(step: int, steps: int, losses: dict[str, float]) -> bool:
            note = ", ".join(f"{name} {value:.2f}" for name, value in losses.items())
            job.report(step, steps, f"step {step} of {steps} · {note}")
            return job.stop.is_set()

        try:
            folder = train(task, quiet=True, progress=progress)
        except Stopped:
            raise Cancelled("The training was cancelled. Nothing was kept.") from None
        after = task.validation.measure(request.steps, adapter="sugar")
        assert after is not None
        kept = adapters_folder(self.workspace.settings) / request.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, kept)
        shutil.rmtree(out, ignore_errors=True)
        return TeachResult(
            request.name,
            kept,
            len(captions),
            len(task.validation.pairs),
            before,
            task_best(task, kept, after),
        )


def task_best(task: Any, folder: Path, after: dict[str, float]) -> dict[str, float]:
    """The figures of the checkpoint that was kept, which is the best one, not the last."""
    import json

    best = json.loads((folder / "training.json").read_text("utf-8"))["best"]
    return best["figures"] if best else after
