"""Transformers' Trainer for audio-visual segmentation."""

import math
import shutil
from collections.abc import Iterator, Sequence, Sized
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset, IterableDataset
from torch import nn
from torch.utils.data import DataLoader, Sampler
from transformers import BatchFeature, PrinterCallback, ProgressCallback, Trainer
from transformers.modeling_outputs import ModelOutput
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, EvalLoopOutput, TrainOutput

from ..data.clip_rows import NamedRows
from ..data.collator import ClipCollator
from ..data.decoding import NamedStream
from ..data.workers import shorten_worker_sockets
from ..evaluation.clip_batches import ClipItems, OneItem, rows_together
from ..evaluation.loop import results, run
from ..evaluation.scores import LossScores, MaskScores
from ..hub.hub_errors import HUB_ERRORS, refusal
from ..hub.model_card import model_card
from ..hub.record import Record
from ..metrics.weighted_means import WeightedMeans
from ..output_folders import flush_files, staged_file, staged_files
from .arguments import LavsegTrainingArguments
from .callbacks import EarlyStopping, EpochOf
from .checkpoints import last_checkpoint, warn_of_other_processes
from .clip_sampler import ClipSampler, training_batches
from .divergence import DivergenceWatch
from .evaluations import check_best_metric, check_counted
from .progress import LossLinesCallback, LossProgressCallback
from .reporting import Preview, SampleMasks, showing
from .run_record import final_step, record_of


class LavsegTrainer(Trainer):
    """Trains and evaluates the models of this package on batches of [`ClipCollator`].

    Beside what Transformers' Trainer does: `evaluate` scores whole clips under `args.metric_protocols` and keeps sums
    only, never masks; every log of a loss also holds its terms as `loss_<term>`; `train(resume_from_checkpoint=True)`
    passes over checkpoints that were cut off while they were written; training stops with a [`TrainingDivergedError`]
    at the first log, evaluation or checkpoint after a loss or a weight went to NaN or infinity, before it is made;
    TensorBoard, Weights & Biases and Trackio (`report_to`) are shown the masks of some clips at every evaluation.

    Scores are named `eval_jaccard`, or `eval_<split>_jaccard` where `eval_dataset` is a dictionary of splits, with the
    protocol's name before the score where there are several. Each clip is run once, with all sentences about it;
    `args.per_device_eval_batch_size` consecutive rows are one batch of the protocol.

    ```python
    trainer = LavsegTrainer(model, args, ClipCollator(processor), train_dataset=rows, processing_class=processor)
    trainer.train()
    scores = trainer.evaluate(load_ref_avs(data_root, split="test_s"))
    ```

    Args:
        model, args, train_dataset, eval_dataset: as in Transformers.
        data_collator: makes batches from rows; those for training with `args.synthetic_null_probability`.
        kwargs: further arguments of Transformers' Trainer, such as `processing_class`, saved with every checkpoint.

    Raises:
        ValueError: when arguments do not fit together.
    """

    args: LavsegTrainingArguments

    def __init__(
        self,
        model: nn.Module,
        args: LavsegTrainingArguments,
        data_collator: ClipCollator,
        **kwargs,
    ):
        if kwargs.get("compute_metrics") is not None:
            raise ValueError("compute_metrics: not taken here; name the metrics in args.metric_protocols")
        asked = {"key_frame": model.training_key_frame, "object_ids": model.takes_object_ids}
        nulls = args.synthetic_null_probability
        self._training_collator = replace(data_collator, null_probability=nulls, seed=args.seed, **asked)
        data_collator = replace(data_collator, augment=None)
        if (eval_dataset := kwargs.get("eval_dataset")) is not None:
            check_counted(eval_dataset)
            check_best_metric(args, eval_dataset, model.loss_weights)
        if args.loss_weights:
            model.set_loss_weights(args.loss_weights)
        shorten_worker_sockets()
        super().__init__(model, args, data_collator, **kwargs)
        self._terms, self._divergence = WeightedMeans(), DivergenceWatch()
        self._hidden_processor, self._preview = None, Preview()
        if self.pop_callback(ProgressCallback) is not None:
            self.add_callback(LossProgressCallback)
        if self.pop_callback(PrinterCallback) is not None:
            self.add_callback(LossLinesCallback)
        if args.early_stopping_patience is not None:
            self.add_callback(EarlyStopping(args.early_stopping_patience, args.early_stopping_threshold))
        self._epoch, self._share = EpochOf(self._training_collator), 1.0
        self.add_callback(self._epoch)

    def get_train_dataloader(self) -> DataLoader:
        self._take_back_processor()
        return super().get_train_dataloader()

    def _get_dataloader(self, dataset: Dataset, description: str, batch_size: int, **kwargs) -> DataLoader:
        """As in Transformers; batches of rows for training, for evaluation of a clip's rows or of rows that attend."""
        plain, drop_last = self.data_collator, self.args.dataloader_drop_last
        if kwargs.get("is_training"):
            dataset = NamedRows(dataset) if isinstance(dataset, Dataset) else dataset
            dataset = NamedStream(dataset) if isinstance(dataset, IterableDataset) else dataset
            self.data_collator = training_batches(self._training_collator, dataset, self.args.sentences_per_clip)
        else:
            check_counted(dataset)
            dataset, batch_size = ClipItems(dataset, self.args.eval_sentences, rows_together(self.model, batch_size)), 1
            self.data_collator, self.args.dataloader_drop_last = OneItem(plain), False
        try:
            return super()._get_dataloader(dataset, description, batch_size, **kwargs)
        finally:
            self.data_collator, self.args.dataloader_drop_last = plain, drop_last

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler | None:
        args, together = self.args, self.args.sentences_per_clip
        if together == 1:
            return super()._get_train_sampler(train_dataset)
        seed = args.seed if args.data_seed is None else args.data_seed
        sampler = ClipSampler(train_dataset.clips, together, self._train_batch_size, seed)
        self._epoch.parts[1:] = [sampler]
        return sampler

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """As in Transformers, with groups of their own for the audio encoder's weights where their rate differs."""
        factor, is_new = self.args.audio_learning_rate_factor, self.optimizer is None
        optimizer = super().create_optimizer(model)
        if factor == 1 or not is_new:
            return optimizer
        own = self.accelerator.unwrap_model(self.model if model is None else model)
        slower = {id(parameter) for parameter in own.parameter_groups().get("audio", ())}
        for group in list(optimizer.param_groups):
            chosen = [parameter for parameter in group["params"] if id(parameter) in slower]
            if chosen:
                group["params"] = [parameter for parameter in group["params"] if id(parameter) not in slower]
                optimizer.add_param_group({**group, "params": chosen, "lr": factor * group["lr"]})
        return optimizer

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """As in Transformers, and without the weights of batch normalisation, which it decays."""
        norms = (name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm))
        kept = {f"{name}.weight" for name in norms}
        return [name for name in super().get_decay_parameter_names(model) if name not in kept]

    def train(self, resume_from_checkpoint: str | bool | None = None, **kwargs) -> TrainOutput:
        """As in Transformers; True resumes from the newest complete checkpoint in `args.output_dir`.

        Raises:
            ValueError: (of which [`TrainingDivergedError`] is one) when there is no such checkpoint, or the loss or a
                weight is no longer finite; what was saved before stays.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = last_checkpoint(self.args.output_dir)
            if resume_from_checkpoint is None:
                raise ValueError(f"resume_from_checkpoint: {self.args.output_dir} holds no complete checkpoint")
        if resume_from_checkpoint:
            warn_of_other_processes(resume_from_checkpoint, self.args.world_size)
        self._terms, self._divergence = WeightedMeans(), DivergenceWatch()
        # Transformers would align the special tokens of a tokenizer, which not all of our processors have.
        self._hidden_processor, self.processing_class = self.processing_class, None
        try:
            return super().train(resume_from_checkpoint, **kwargs)
        finally:
            self._take_back_processor()
            self.is_in_train = False
            for callback in self.callback_handler.callbacks:
                # Of a training that failed: what is said next begins a line of its own.
                if getattr(callback, "training_bar", None) is not None:
                    callback.training_bar.close()

    def _take_back_processor(self) -> None:
        """Once the training loop asks for batches, the tokens are behind it and checkpoints need the processor."""
        if self._hidden_processor is not None:
            self.processing_class, self._hidden_processor = self._hidden_processor, None

    def training_step(self, model: nn.Module, inputs: Any, *args, **kwargs) -> torch.Tensor:
        """As in Transformers, in a pass for each number of sentences about a clip; every sentence counts alike."""
        parts = inputs if isinstance(inputs, list) else [inputs]
        sentences, loss = [part["labels"].shape[:2].numel() for part in parts], 0
        for part, count in zip(parts, sentences, strict=True):
            self._share = count / sum(sentences)
            # Processes exchange gradients once a step, however many parts each of them has.
            with nullcontext() if part is parts[-1] else self.accelerator.no_sync(model):
                loss = loss + super().training_step(model, part, *args, **kwargs)
        self._divergence.add(loss, self.state.global_step + 1)
        return loss

    def _check_divergence(self, weights: bool) -> None:
        """Look at the losses of the training that runs, if one does, and at the weights."""
        if self.is_in_train:
            model = self.model if weights else None
            self._divergence.check(self.state.global_step, model, self._gather_from_processes)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, **kwargs
    ) -> torch.Tensor | tuple[torch.Tensor, ModelOutput]:
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **kwargs)
        if model.training:
            loss = loss * self._share
            self._terms.add(outputs.loss_dict, self._share / self.current_gradient_accumulation_steps)
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:
            self._check_divergence(weights=False)
            terms = self._terms.compute(self._sum_over_processes)
            logs.update({f"loss_{name}": value for name, value in terms.items()})
            self._terms = WeightedMeans()
        # The last log of a training.
        if "train_loss" in logs:
            self._check_divergence(weights=True)
        # The norm of a step that fp16's loss scaling leaves out; JSON has no number for it.
        if not math.isfinite(logs.get("grad_norm", 0.0)):
            logs["grad_norm"] = None
        super().log(logs, start_time)

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """As in Transformers. Into `args.output_dir`, what a model card will tell and show is written as well."""
        self._check_divergence(weights=True)
        super().save_model(output_dir, _internal_call)
        if output_dir is None and self.args.should_save:
            self._record().save(self.args.output_dir)
            self._preview.save(self.args.output_dir, final_step(self.args, self.state))

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        """As in Transformers, each file written beside its place first."""
        if not self.args.should_save:
            return super()._save(output_dir, state_dict)
        with staged_files(output_dir or self.args.output_dir) as staged:
            return super()._save(str(staged), state_dict)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As in Transformers; one that cannot be finished, as on a full disk, is removed."""
        folder = Path(self._get_output_dir(trial)) / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        try:
            super()._save_checkpoint(model, trial)
            if self.args.should_save:
                flush_files(folder)
        except BaseException:
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _save_rng_state(self, output_dir: str) -> None:
        """As in Transformers. What is complete once trainer_state.json is there, is kept by the disk before."""
        super()._save_rng_state(output_dir)
        flush_files(output_dir)

    @property
    def trains_adapters(self) -> bool:
        """Whether the model is one of `peft`, with adapters."""
        return hasattr(self.accelerator.unwrap_model(self.model), "merge_and_unload")

    def merge_adapters(self) -> None:
        """Keep the adapters by themselves, in the folder `adapter` of `args.output_dir`, and add them to the weights of
        the model, which has none from now on."""
        adapted = self.accelerator.unwrap_model(self.model)
        if self.args.should_save:
            adapted.save_pretrained(Path(self.args.output_dir) / "adapter")
        self.model = self.model_wrapped = adapted.merge_and_unload()

    def push_to_hub(self, *args, **kwargs) -> Any:
        """Upload model, processor and card, as in Transformers.

        Args:
            args, kwargs: as in Transformers' `push_to_hub`; those of `create_model_card` are passed on to it.

        Raises:
            ValueError: when the Trainer was made without a processor, or the Hub refuses or cannot be reached.
        """
        if self.processing_class is None:
            raise ValueError("processing_class: make the Trainer with the processor, a model is of no use without it")
        try:
            return super().push_to_hub(*args, **kwargs)
        except HUB_ERRORS as error:
            raise refusal(self.hub_model_id or str(self.args.hub_model_id), error) from error

    def create_model_card(
        self,
        model_name: str | None = None,
        license: str | None = None,
        dataset: str | Sequence[str] | None = None,
        finetuned_from: str | Sequence[str] | None = None,
    ) -> None:
        """Write `README.md` into `args.output_dir`: the method's card with recipe and scores of this run.

        The scores are those of the weights that training ended with, by protocol, and of every `evaluate` since.

        Args:
            model_name: for the title of the results; by default the repository's.
            license: the weights' licence, as the Hub names licences; "other" when not given.
            dataset: Hub ids or names of the data.
            finetuned_from: Hub ids of what training started from; by default what the model says, where it came from
                the Hub or was put together from encoders there.
        """
        if not self.is_world_process_zero():
            return
        name = self.hub_model_id or model_name or Path(self.args.output_dir).name
        record = self._record(license, dataset, finetuned_from)
        record.save(self.args.output_dir)
        preview = self._preview.save(self.args.output_dir, final_step(self.args, self.state))
        card = model_card(self.accelerator.unwrap_model(self.model), self.processing_class, name, record, preview)
        with staged_file(Path(self.args.output_dir) / "README.md") as staged:
            staged.write_text(str(card), encoding="utf-8")

    def _record(
        self,
        license: str | None = None,
        dataset: str | Sequence[str] | None = None,
        finetuned_from: str | Sequence[str] | None = None,
    ) -> Record:
        return record_of(
            self.accelerator.unwrap_model(self.model),
            self.args,
            self.state,
            len(self.train_dataset) if isinstance(self.train_dataset, Sized) else None,
            [dataset] if isinstance(dataset, str) else dataset or (),
            [finetuned_from] if isinstance(finetuned_from, str) else finetuned_from or (),
            license,
        )

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not counted: Transformers' estimate is for text models and walks over all parameters in every step."""
        return 0

    def evaluate(self, *args, **kwargs) -> dict[str, float]:
        self._check_divergence(weights=True)
        return super().evaluate(*args, **kwargs)

    def evaluation_loop(
        self,
        dataloader: DataLoader,
        description: str,
        prediction_loss_only: bool | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> EvalLoopOutput:
        """Losses and scores of all batches, as `<metric_key_prefix>_<name>`; of masks nothing is returned."""
        # Transformers' own loop over no batch prepares the model: device, precision, parts on other processes.
        output = super().evaluation_loop(_NoBatch(dataloader), description, True, ignore_keys, metric_key_prefix)
        model, processor = self.accelerator.unwrap_model(self.model), self.data_collator.processor
        rows = dataloader.dataset.rows.rows
        masks = MaskScores(
            self.args.metric_protocols, processor, model.scale_masks, len(rows), self.args.eval_batch_size
        )
        scores = [LossScores(), masks]
        samples, shown = SampleMasks(processor), showing(self.callback_handler.callbacks)
        scores += [samples] if self.is_world_process_zero() else []
        run(self.model, self._evaluated(dataloader), scores, self.accelerator)
        for clip, picture in enumerate(samples.draw(rows) if shown else []):
            for show in shown:
                show(f"{metric_key_prefix}/clip_{clip}", picture, self.state.global_step)
        self._preview.keep(samples, rows, self.state.global_step if self.is_in_train else None)
        values = results(scores, self.accelerator)
        output.metrics.update({f"{metric_key_prefix}_{name}": value for name, value in values.items()})
        return output

    def _evaluated(self, dataloader: DataLoader) -> Iterator[BatchFeature]:
        """The batches, each prepared before and made known to callbacks after it was evaluated."""
        for batch in dataloader:
            yield self._prepare_inputs(batch)
            self.control = self.callback_handler.on_prediction_step(self.args, self.state, self.control)

    def _gather_from_processes(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.gather(values.to(self.args.device))

    def _sum_over_processes(self, values: torch.Tensor) -> torch.Tensor:
        return self.accelerator.reduce(values.to(self.args.device), "sum")


class _NoBatch:
    """The length of a loader of clips and its rows, without the clips."""

    def __init__(self, dataloader: DataLoader):
        self.dataloader, self.dataset = dataloader, dataloader.dataset.rows

    def __len__(self) -> int:
        return len(self.dataloader)

    def __iter__(self) -> Iterator[BatchFeature]:
        return iter(())
