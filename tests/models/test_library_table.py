"""The table of `docs/transformers.md`: every cell is what one of these checks finds."""

import re
from functools import cache

import export
import pytest
import torch
from peft import LoraConfig, get_peft_model
from test_every_method import TestEveryMethod
from torch import nn
from torchao.quantization import Int8WeightOnlyConfig
from torchao.utils import TorchAOBaseTensor
from transformers import PreTrainedModel, TorchAoConfig

from conftest import ROOT
from lavseg.testing import MethodContract
from lavseg.testing.library_use import compile_parts

VARIANTS = TestEveryMethod.variants
del TestEveryMethod
ROWS = {
    "SAM2-LOVE": "sam2_love",
    "AuralSAM2": "aural_sam2",
    "ST-BAVA": "st_bava",
    "SAMA-AVS on SAM": "sama_avs",
    "SAMA-AVS on SAM2": "sama_avs-sam2_text",
    "GAVS on SAM": "gavs",
    "GAVS on SAM2": "gavs-sam2_text",
    "AVSegFormer on PVT v2": "avsegformer",
    "AVSegFormer on ResNet": "avsegformer-resnet",
    "SimToken": "simtoken",
    "EEMC": "eemc",
    "Stepping-Stones": "stepping_stones",
    "ReferFormer on ResNet": "referformer",
    "ReferFormer on Swin": "referformer-swin",
    "TPAVI on PVT v2": "tpavi",
    "TPAVI on ResNet": "tpavi-resnet",
}


def attention(kind):
    def check(variant, tmp_path):
        model = variant.make_model()
        try:
            model.set_attn_implementation(kind)
        except (ValueError, ImportError):
            return False
        parts = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
        return {part.config._attn_implementation for part in parts} == {kind} and runs(model, variant)

    return check


def dtype(kind):
    def check(variant, tmp_path):
        variant.make_model().save_pretrained(tmp_path)
        model = variant.model_class.from_pretrained(tmp_path, dtype=kind).eval()
        return {parameter.dtype for parameter in model.parameters()} == {kind} and runs(model, variant)

    return check


@torch.no_grad()
def runs(model, variant):
    try:
        return bool(model(**variant.prepare([1])).pred_masks.isfinite().all())
    except RuntimeError:
        return False


def lora(variant, tmp_path):
    """Adapters on all linear layers that train get gradients, save and reload."""
    model, reached = (
        variant.make_model(),
        {name for name, p in variant.trained.named_parameters() if p.grad is not None},
    )
    targets = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and f"{n}.weight" in reached]
    targets = [name for name in targets if type(model.get_submodule(name)) is nn.Linear]
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
    adapted.train()
    adapted(**variant.inputs, **variant.labels).loss.backward()
    adapters = {name: p for name, p in adapted.named_parameters() if "lora_" in name}
    return bool(adapters) and all(p.grad is not None for p in adapters.values())


def int8(variant, tmp_path):
    """Weights of linear layers are quantised while a saved model is loaded, and it runs."""
    variant.make_model().save_pretrained(tmp_path)
    quantization = TorchAoConfig(Int8WeightOnlyConfig())
    try:
        model = variant.model_class.from_pretrained(tmp_path, quantization_config=quantization).eval()
    except NotImplementedError:
        return False
    quantized = [p for p in model.parameters() if isinstance(p, TorchAOBaseTensor)]
    return bool(quantized) and runs(model, variant)


def checkpointing(variant, tmp_path):
    grads = {name: p.grad for name, p in variant.train_once(checkpointing=True).named_parameters()}
    plain = {name: p.grad for name, p in variant.trained.named_parameters()}
    return {n for n, g in grads.items() if g is None} == {n for n, g in plain.items() if g is None}


def device_map(variant, tmp_path):
    MethodContract().test_what_exceeds_the_memory_stays_on_disk(variant, tmp_path, 0.3)
    return True


def compiles(variant, tmp_path):
    """One clip through all parts without a break; that others come out as they should is for the contract's test."""
    model = variant.make_model()
    torch._dynamo.reset()
    with pytest.MonkeyPatch.context() as patch:
        counters = compile_parts(model, patch)
        return runs(model, variant) and all(counter.frame_count for counter in counters.values())


def exports(variant, tmp_path):
    variant.model_class(variant.config).save_pretrained(tmp_path / "model")
    variant.processor.save_pretrained(tmp_path / "model")
    try:
        export.main(["--model", str(tmp_path / "model"), "--out", str(tmp_path / "programs")])
    except SystemExit:
        return False
    return len(list((tmp_path / "programs").glob("*.pt2"))) == 4


def maps(variant, tmp_path):
    return variant.make_model().gives_attentions


COLUMNS = {
    "eager": attention("eager"),
    "sdpa": attention("sdpa"),
    "flash attention": attention("flash_attention_2"),
    "flex attention": attention("flex_attention"),
    "attention maps": maps,
    "bfloat16": dtype(torch.bfloat16),
    "float16": dtype(torch.float16),
    "LoRA": lora,
    "int8": int8,
    "checkpointing": checkpointing,
    "device maps": device_map,
    "compile": compiles,
    "export": exports,
}


@cache
def table():
    text = (ROOT / "docs" / "transformers.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.M)]
    return {row[0]: dict(zip(rows[0][1:], row[1:], strict=True)) for row in rows[2:]}


def test_the_table_has_a_row_for_every_method_and_a_cell_for_every_check():
    assert table().keys() == ROWS.keys()
    assert all(list(cells) == list(COLUMNS) for cells in table().values())


@pytest.mark.slow
@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("row", ROWS)
def test_every_cell_is_what_is_found(row, column, tmp_path):
    found = COLUMNS[column](VARIANTS[ROWS[row]], tmp_path)
    assert table()[row][column] == ("yes" if found else "no")
