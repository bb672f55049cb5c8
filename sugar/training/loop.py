"""The one training loop: steps, checkpoints, logs, curves, validation. What is trained, a task decides.

    folder = train(AdapterTask(AdapterConfig(out="runs/mine")))   # resumes by itself when `out` holds a state
    accelerate launch --multi_gpu --num_processes 2 -m sugar train ...  # the same global batch, shared

Data are a function of (seed, step), so a run can stop at any step, by kill -9 too, and goes on as if it had
not; on a CPU one seed gives one result. `log.jsonl` has a line every `log_every` steps. Not covered: losses
(adapter.py, losses.py).
"""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from sugar.atomic import replacing, sweep
from sugar.errors import SettingsError
from sugar.model.checkpoint import read_state
from sugar.training import parallel
from sugar.training.config import RunConfig, rate_at
from sugar.training.optimizer import Muon, matrices
from sugar.training.run_log import RunLog, StepResult, flat, plot_curves, read_log

STATE = "state.pt"
LOG = "log.jsonl"


class Task(Protocol):
    """What is trained.

    module: its `requires_grad` weights are. reader: draws a step, and can be sent to another process.
    """

    config: Any

    @property
    def module(self) -> nn.Module: ...

    @property
    def device(self) -> torch.device: ...

    @property
    def reader(self) -> Callable[[int], Any]: ...

    def rate_of(self, name: str) -> float:
        """The factor of the rate for a weight of the module, by its name."""

    def backward(self, data: Any, step: int) -> StepResult:
        """Losses of this process's part of a step; gradients of the whole batch's loss are left
        on the weights."""

    def export(self, folder: Path) -> None:
        """Write what an app opens."""

    def validate(self, step: int) -> dict[str, float] | None:
        """Percent on rows kept aside, the first of them decides; None where nothing is kept aside."""

    def resumable(self) -> dict[str, Any]:
        """What must agree before a state is taken up again."""


class Stopped(Exception):
    """The caller asked the run to end; its state is saved."""


class _Steps(Dataset):
    """Steps by number, for the workers. Holds the reader alone, so that it can be pickled."""

    def __init__(self, read: Callable[[int], Any]) -> None:
        self.read = read

    def __getitem__(self, step: int) -> Any:
        return self.read(step)


class Run:
    """A training run: a task, its optimisers, and the step it stands at."""

    def __init__(self, task: Task) -> None:
        from accelerate import Accelerator

        self.task, self.config = task, task.config
        config: RunConfig = task.config
        self.out = Path(config.out)
        names = [t for t in config.trackers.split(",") if t]
        self.accelerator = Accelerator(
            cpu=not torch.cuda.is_available(), log_with=names or None, project_dir=str(self.out)
        )
        if parallel.shares_base():
            parallel.shard(task.module)
        if config.threads:
            torch.set_num_threads(config.threads)
        chosen = matrices(task.module) if config.optimizer == "muon" else []
        known = {id(p) for p in chosen}
        self.parameters = [p for p in task.module.parameters() if p.requires_grad]
        others = [p for p in self.parameters if id(p) not in known]
        factors = {id(p): task.rate_of(name) for name, p in task.module.named_parameters()}
        groups = [
            {"params": [p for p in others if factors[id(p)] == f], "factor": f}
            for f in sorted({factors[id(p)] for p in others})
        ]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=config.rate, betas=(0.9, 0.98), weight_decay=config.weight_decay)
        ]
        self.peaks = [config.rate]
        if chosen:
            half = config.precision == "bf16"
            decay = config.matrix_decay
            self.optimizers.append(Muon(chosen, lr=config.matrix_rate, weight_decay=decay, half=half))
            self.peaks.append(config.matrix_rate)
        self.step = 0
        self.best: dict[str, Any] = {}

    @property
    def main(self) -> bool:
        return parallel.rank() == 0

    # -- checkpoints
    # -----------------------------------------------------------------------------------------------

    def save(self) -> None:
        """The whole state, written aside, synced and put in place at once."""
        if not self.main:
            return
        self.out.mkdir(parents=True, exist_ok=True)
        state = {
            "step": self.step,
            "model": self.trained(),
            "optimizers": [o.state_dict() for o in self.optimizers],
            "config": dataclasses.asdict(self.config),
            "must_agree": self.task.resumable(),
            "best": self.best,
        }
        sweep(self.out, STATE)
        with replacing(self.out / STATE) as beside, beside.open("wb") as file:
            torch.save(state, file)

    def trained(self) -> dict[str, torch.Tensor]:
        """The weights that are trained, by name."""
        return {name: p.detach() for name, p in self.task.module.named_parameters() if p.requires_grad}

    def resume(self) -> bool:
        """Go on from `out`, if it holds a state. Raises SettingsError when that run was another one."""
        path = self.out / STATE
        if not path.is_file():
            return False
        state = read_state(path, "step", "model", "optimizers", "must_agree", "best")
        for key, value in self.task.resumable().items():
            if state["must_agree"].get(key) != value:
                raise SettingsError(
                    f"{path} was made with {key}={state['must_agree'].get(key)!r}, not {value!r}. Use "
                    "another --out."
                )
        own = self.trained()
        if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state["model"].items()}:
            raise SettingsError(
                f"{path} holds other weights than this run trains; the terms or the base differ. Use "
                "another --out."
            )
        for name, value in own.items():
            value.copy_(state["model"][name])
        try:
            for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(saved)
        except (ValueError, KeyError) as error:
            raise SettingsError(f"{path} was made with another optimiser. Use another --out.") from error
        self.step, self.best = state["step"], state["best"]
        return True

    def export(self, folder: str | Path) -> Path:
        """What an app opens, with the settings, time and hardware beside it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.task.export(folder)
        for file in folder.glob("*.safetensors"):
            file.chmod(0o644)
        facts = {
            "config": dataclasses.asdict(self.config),
            "step": self.step,
            "seconds": self.seconds(),
            "hardware": self.hardware(),
            "best": self.best,
        }
        (folder / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        return folder

    def seconds(self) -> float:
        """Seconds spent on all steps so far, over every resumption, from the log."""
        path = self.out / LOG
        lines = read_log(path) if path.is_file() else []
        starts = [0, *(line["step"] for line in lines)]
        spent = (
            line["seconds_per_step"] * (line["step"] - start)
            for start, line in zip(starts, lines, strict=False)
        )
        return round(sum(spent))

    def hardware(self) -> str:
        from torch.distributed.tensor import DTensor

        device = self.task.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} CPU"
        threads = f", {torch.get_num_threads()} thread(s)" if device.type == "cpu" else ""
        shared = ", FSDP" if any(isinstance(p, DTensor) for p in self.task.module.parameters()) else ""
        return f"{name}{threads}, {parallel.world()} process(es){shared}, torch {torch.__version__}"

    # -- steps
    # -----------------------------------------------------------------------------------------------------

    def steps_ahead(self) -> Iterable[Any]:
        """The data of every step from here to the last, drawn ahead by `workers` processes."""
        workers = self.config.workers
        return DataLoader(
            _Steps(self.task.reader),
            batch_size=None,
            sampler=range(self.step, self.config.steps),
            num_workers=workers,
            prefetch_factor=2 if workers else None,
        )

    def train_step(self, data: Any = None) -> StepResult:
        """One optimiser step, on `data` (default: drawn here and now)."""
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        result = self.task.backward(self.task.reader(self.step) if data is None else data, self.step)
        parallel.sum_gradients(self.parameters)
        nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
        share = rate_at(self.step, self.config)
        for optimizer, peak in zip(self.optimizers, self.peaks, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = peak * share * group.get("factor", 1.0)
            optimizer.step()
        self.step += 1
        return result


def train(
    task: Task,
    *,
    quiet: bool = False,
    progress: Callable[[int, int, dict[str, float]], bool] | None = None,
) -> Path:
    """Train, or go on training, to `config.steps`; then export. Returns the folder that an app opens.

    Args:
        progress: called after each step with (step, steps, losses); True ends the run.
    Raises:
        Stopped: `progress` ended the run. ModelError: a loss is no longer a number.
    """
    from tqdm import tqdm

    run, config = Run(task), task.config
    if run.resume() and not quiet and run.main:
        print(f"going on from step {run.step} of {config.steps} in {run.out}")
    run.out.mkdir(parents=True, exist_ok=True)
    if config.trackers:
        run.accelerator.init_trackers("sugar", config=flat(dataclasses.asdict(config)))
    log = RunLog(run, run.out / LOG)
    bar = tqdm(
        total=config.steps,
        initial=run.step,
        disable=quiet or not run.main,
        unit="step",
        mininterval=1,
        smoothing=0.05,
    )
    folder = run.out / "model"
    every = getattr(config, "validate_every", 0)
    for data in run.steps_ahead():
        result = run.train_step(data)
        bar.update()
        log.add(result)
        if run.step % config.log_every == 0 or run.step == config.steps:
            bar.set_postfix(log.write(), refresh=False)
        if progress is not None and progress(run.step, config.steps, result.losses):
            run.save()
            raise Stopped(f"ended at step {run.step} of {config.steps}; its state is in {run.out}")
        if every and (run.step % every == 0 or run.step == config.steps):
            since = _validated(run, folder) // every
            if since > config.patience:
                log.note(f"stopped early: no better figure in {since} validations")
                break
        if run.step % config.save_every == 0:
            run.save()
    bar.close()
    run.save()
    parallel.barrier()
    if run.main:
        if not run.best:
            run.export(folder)
        plot_curves(run.out / LOG, run.out / "curves.png")
    run.accelerator.end_training()
    parallel.barrier()
    return folder


def _validated(run: Run, folder: Path) -> int:
    """Measure, and keep the checkpoint when it is the best so far. Returns the steps since the best one.

    Where weights are shared out, every process reads along.
    """
    figures = run.task.validate(run.step) if run.main or parallel.shares_base() else None
    if run.main and figures:
        first = next(iter(figures.values()))
        better = not run.best or first > next(iter(run.best["figures"].values()))
        with (run.out / LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": run.step, "validation": figures}) + "\n")
        if run.config.trackers:
            run.accelerator.log({f"validation/{k}": v for k, v in figures.items()}, step=run.step)
        if better:
            run.best = {"step": run.step, "figures": figures}
            run.export(folder)
    return int(parallel.gather(run.step - run.best["step"] if run.best else 0)[0])
