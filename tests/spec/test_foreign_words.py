"""Documents as people from other libraries write them: each foreign word is answered with the word to write."""

from __future__ import annotations

from pathlib import Path

import pytest

from gromo_graph import Growth, SpecError, check_spec
from gromo_graph.spec.field_names import keys_of
from gromo_graph.spec.foreign_words import _KINDS, _NODE_KEYS
from gromo_graph.spec.kinds import KINDS

HABITS = Path(__file__).with_name("habits")
DOCUMENTS = [
    ("conv", 3, "shape: [28, 28, 1]", "[1, 28, 28]"),
    ("conv", 4, "Conv2D", "conv2d"),
    ("conv", 4, "filters", "features"),
    ("conv", 4, "kernel_size", "kernel"),
    ("conv", 4, "strides", "stride"),
    ("conv", 4, "valid", "0"),
    ("conv", 4, "LeakyReLU", "leaky_relu"),
    ("conv", 5, "batchnorm2d", "batch_norm"),
    ("conv", 6, "maxpool", "max_pool2d"),
    ("conv", 6, "size", "kernel"),
    ("soft", 2, "64", "[64]"),
    ("soft", 3, "in_features", "leave it out"),
    ("soft", 3, "act", "activation: relu"),
    ("soft", 4, "input", "from"),
    ("soft", 4, "Sigmoid", "sigmoid"),
    ("soft", 5, "softmax", "leave it out"),
    ("torch2", 3, "type", "kind"),
    ("torch2", 3, "64", "[64]"),
    ("torch2", 4, "type", "kind: linear"),
    ("torch2", 4, "input", "from"),
    ("torch2", 4, "in_features", "leave it out"),
    ("torch2", 4, "out_features", "features"),
    ("torch2", 4, "act", "activation: relu"),
    ("torch2", 5, "type", "kind"),
    ("torch2", 5, "softmax", "leave it out"),
    ("train", 4, "Relu", "relu"),
    ("train", 7, "learning_rate", "optimizer: {lr: ...}"),
    ("train", 7, "lr", "optimizer: {lr: ...}"),
    ("train", 7, "epoch", "epochs"),
    ("train", 7, "batchsize", "batch_size"),
    ("train", 7, "adam", "optimizer: {name: adam}"),
    ("train", 7, "crossentropy", "cross_entropy"),
    ("train", 7, "weight_decay", "optimizer: {weight_decay: ...}"),
    ("train", 7, "device", "--device"),
    ("train", 7, "f1", "f1_macro"),
    ("train", 7, "seed", "--seed"),
    ("train", 8, "max_parameters", "stop: {parameters: ...}"),
    ("train", 8, "budget", "stop: {steps: ...}"),
    ("train", 8, "strategy", "criterion"),
    ("train", 8, "8", "neurons: {per_step: 8}"),
    ("train", 8, "when: {every: 5}", "when: {every: 5}"),
    ("train", 8, "5000", "stop: {parameters: 5000}"),
    ("units", 3, "dense", "linear"),
    ("units", 3, "inputs", "from"),
    ("units", 3, "units", "features"),
    ("units", 4, "out_features", "features"),
    ("keras_text", 3, "input_dim", "vocabulary"),
    ("keras_text", 3, "output_dim", "features"),
    ("keras_text", 4, "LSTM", "lstm"),
    ("keras_text", 4, "return_sequences", "leave it out"),
    ("keras_text", 6, "TimeDistributed", "leave it out"),
    ("keras_text", 9, "RMSprop", "optimizer: {name: rmsprop}"),
    ("keras_text", 9, "patience", "early_stopping: {patience: ...}"),
    ("keras_text", 9, "validation_split", "validation"),
    ("keras_text", 9, "shuffle", "leave it out"),
    ("keras_text", 9, "verbose", "--verbose"),
    ("keras_model", 2, "layers", "nodes"),
    ("keras_model", 10, "compile", "train"),
    ("keras_model", 11, "fit", "train"),
    ("keras_unet", 3, "SeparableConv2D", "depthwise_conv2d"),
    ("keras_unet", 6, "UpSampling2D", "upsample2d"),
    ("keras_unet", 6, "interpolation", "mode"),
    ("keras_unet", 8, "axis", "leave it out"),
    ("keras_unet", 10, "Subtract", "merge: sum"),
    ("keras_unet", 11, "Cropping2D", "pad"),
    ("keras_unet", 11, "cropping", "padding"),
    ("torch_convolution", 3, "Conv2d", "conv2d"),
    ("torch_convolution", 7, "start_dim", "leave it out"),
    ("torch_convolution", 10, "CosineAnnealingLR", "cosine"),
    ("torch_convolution", 10, "num_workers", "workers"),
    ("torch_convolution", 10, "grad_clip", "clip"),
    ("torch_recurrent", 3, "embed_dim", "leave it out"),
    ("torch_recurrent", 6, "input_size", "leave it out"),
    ("torch_recurrent", 6, "hidden_size", "features"),
    ("torch_recurrent", 6, "num_layers", "a node for each layer"),
    ("torch_recurrent", 6, "bidirectional", "reverse: true"),
    ("torch_recurrent", 6, "batch_first", "leave it out"),
    ("torch_recurrent", 9, "gradient_clip_val", "clip"),
    ("onnx", 1, "graph", "nodes"),
    ("onnx", 2, "dims", "shape"),
    ("onnx", 3, "op_type", "kind: conv2d"),
    ("onnx", 3, "kernel_shape", "kernel"),
    ("onnx", 3, "pads", "padding"),
    ("onnx", 3, "dilations", "dilation"),
    ("lightning", 3, "hidden_dim", "features"),
    ("lightning", 4, "num_classes", "features"),
    ("lightning", 6, "trainer", "train"),
    ("lightning", 6, "accelerator", "--device"),
    ("lightning", 6, "precision", "--amp"),
    ("lightning", 6, "accumulate_grad_batches", "accumulate"),
    ("lightning", 9, "seed_everything", "--seed"),
    ("sklearn", 3, "logistic", "sigmoid"),
    ("sklearn", 6, "solver", "optimizer: {name: ...}"),
    ("sklearn", 6, "alpha", "weight_decay"),
    ("sklearn", 6, "learning_rate_init", "optimizer: {lr: ...}"),
    ("sklearn", 6, "max_iter", "epochs"),
    ("sklearn", 6, "n_iter_no_change", "early_stopping"),
    ("sklearn", 6, "validation_fraction", "validation"),
    ("sklearn", 6, "scoring", "metrics"),
    ("transformers", 3, "hidden_size", "features"),
    ("transformers", 4, "PositionalEncoding", "positions"),
    ("transformers", 5, "SelfAttention", "attention"),
    ("transformers", 5, "num_attention_heads", "heads"),
    ("transformers", 7, "hidden_act", "activation"),
    ("transformers", 8, "lm_head", "linear"),
    ("transformers", 10, "num_train_epochs", "epochs"),
    ("transformers", 10, "per_device_train_batch_size", "batch_size"),
    ("transformers", 10, "lr_scheduler_type", "schedule"),
    ("transformers", 10, "max_grad_norm", "clip"),
    ("flax", 2, "shape: [32, 32, 3]", "[3, 32, 32]"),
    ("flax", 5, "window_shape", "kernel"),
    ("flax", 6, "reshape", "flatten"),
    ("flax", 9, "tx", "optimizer: {name: ...}"),
    ("flax", 9, "warmup_steps", "warmup"),
]
"""Whole documents of people who come from elsewhere: document, line, word, and what to write instead."""

FRAME = """
nodes:
  x: {{kind: input, shape: [1, 9, 9]}}
  f: {{kind: flatten, from: x}}
  h: {node}
  y: {{kind: linear, from: h, features: 2}}
output: y
{sections}
"""
LINEAR = "{kind: linear, from: f, features: 4}"

NODES = [
    ("{kind: dense, from: f, features: 4}", "kind", "`dense`: write `linear`"),
    ("{kind: Dense, inputs: f, units: 4}", "kind", "`Dense`: write `linear`"),
    ("{kind: Dense, inputs: f, units: 4}", "inputs", "`inputs`: write `from`"),
    ("{kind: Dense, inputs: f, units: 4}", "units", "`units`: write `features`"),
    ("{kind: linear, from: f, in_features: 81, features: 4}", "in_features", "`in_features`: leave it out"),
    ("{kind: linear, from: f, features: 4, use_bias: false}", "use_bias", "`use_bias`: write `bias`"),
    ("{kind: linear, from: f, features: 4, act: ReLU}", "act", "`act`: write `activation: relu`"),
    ("{type: Linear, input: f, out_features: 4}", "type", "`type`: write `kind: linear`"),
    ("{type: Linear, input: f, out_features: 4}", "out_features", "`out_features`: write `features`"),
    ("{kind: Conv2D, from: x, filters: 4, kernel_size: 3}", "kind", "did you mean `conv2d`?"),
    ("{kind: Conv2D, from: x, filters: 4, kernel_size: 3}", "filters", "`filters`: write `features`"),
    ("{kind: Conv2D, from: x, filters: 4, kernel_size: 3}", "kernel_size", "`kernel_size`: write `kernel`"),
    ("{kind: conv2d, from: x, features: 4, kernel: 3, strides: 2}", "strides", "`strides`: write `stride`"),
    ("{kind: batchnorm2d, from: x}", "kind", "`batchnorm2d`: write `batch_norm`"),
    ("{kind: MaxPooling2D, from: x, pool_size: 2}", "kind", "`MaxPooling2D`: write `max_pool2d`"),
    ("{kind: MaxPooling2D, from: x, pool_size: 2}", "pool_size", "`pool_size`: write `kernel`"),
    ("{kind: add, from: [f]}", "kind", "`add`: write `merge`, with `merge: sum`"),
    ("{kind: Concatenate, from: [f]}", "kind", "write `merge`, with `merge: concat`"),
    ("{kind: ReLU, from: f}", "kind", "`ReLU`: an activation is no node, write it as `activation`"),
    ("{kind: dropout, from: f, rate: 0.5}", "rate", "`rate`: write `p`"),
    ("{kind: linear, from: f, features: 4, freeze: true}", "freeze", "`freeze`: write `frozen`"),
    (
        "{kind: linear, from: f, features: 4, grow: {freeze: old}}",
        "grow.freeze",
        "write `growth: {freeze: old}`, for all",
    ),
    (
        "{kind: linear, from: f, features: 4, activation: LeakyReLU}",
        "activation",
        "did you mean `leaky_relu`?",
    ),
    ("{kind: linear, from: f, features: 4, activation: softmax}", "activation", "`softmax`: leave it out"),
    ("{kind: linear, from: f, features: 4, activation: swish}", "activation", "`swish`: write `silu`"),
    ("{kind: conv2d, from: x, features: 4, kernel: 3, padding: valid}", "padding", "`valid`: write `0`"),
    ("{kind: MatMul, from: f, features: 4}", "kind", "`MatMul`: write `linear`"),
    ("{kind: Activation, from: f}", "kind", "`Activation`: an activation is no node"),
]
SECTIONS = [
    ("train: {lr: 0.1}", "train.lr", "`lr`: write `optimizer: {lr: ...}`"),
    ("train: {optimizer: adam}", "train.optimizer", "write `optimizer: {name: adam}`"),
    ("train: {loss: crossentropy}", "train.loss", "did you mean `cross_entropy`?"),
    ("train: {loss: mean_squared_error}", "train.loss", "`mean_squared_error`: write `mse`"),
    ("train: {loss: BCEWithLogitsLoss}", "train.loss", "`BCEWithLogitsLoss`: write `binary_cross_entropy`"),
    ("train: {schedule: CosineAnnealingLR}", "train.schedule", "write `cosine`"),
    ("train: {metrics: [f1]}", "train.metrics.0", "`f1`: write `f1_macro`"),
    ("train: {epoch: 3}", "train.epoch", "`epoch`: write `epochs`"),
    ("train: {batchsize: 3}", "train.batchsize", "did you mean `batch_size`?"),
    ("train: {seed: 3}", "train.seed", "`seed`: option `--seed`"),
    ("train: {device: cuda}", "train.device", "`device`: option `--device`"),
    ("seed: 3", "seed", "`seed`: option `--seed`"),
    ("growth: {max_parameters: 9}", "growth.max_parameters", "write `stop: {parameters: ...}`"),
    ("growth: {strategy: tiny}", "growth.strategy", "`strategy`: write `criterion`"),
    ("growth: {neurons: 8}", "growth.neurons", "write `neurons: {per_step: 8}`"),
    ("growth: {when: 5}", "growth.when", "write `when: {every: 5}`"),
    ("growth: {stop: 5000}", "growth.stop", "write `stop: {parameters: 5000}`"),
    ("train: {optimizer: {learning_rate: 0.1}}", "train.optimizer.learning_rate", "write `lr`"),
    ("epochs: 9", "epochs", "`epochs`: write `train: {epochs: ...}`"),
    ("learning_rate: 9", "learning_rate", "write `train: {optimizer: {lr: ...}}`"),
    ("device: cuda", "device", "`device`: option `--device`"),
]
MISPLACED = [
    ("growth: {stop: {beyond: 1.5}}", "growth.stop.beyond", "its place is `growth.beyond`"),
    ("growth: {stop: {beyond: 0.5}}", "growth.stop.beyond", "its place is `growth.beyond`"),
    ("growth: {until: 0.5}", "growth.until", "its place is `growth.when.until`"),
    ("growth: {stop: {until: 0.5}}", "growth.stop.until", "its place is `growth.when.until`"),
    ("growth: {steps: 4}", "growth.steps", "its place is `growth.when.steps` or `growth.stop.steps`"),
    ("growth: {epochs: 4}", "growth.epochs", "its place is `train.epochs`"),
    ("growth: {optimizer: {lr: 1}}", "growth.optimizer", "its place is `train.optimizer`"),
    ("train: {optimizer: {batchSize: 3}}", "train.optimizer.batchSize", "its place is `train.batch_size`"),
    ("train: {growth: {}}", "train.growth", "its place is `growth` at the top of the document"),
    ("beyond: 2", "beyond", "its place is `growth.beyond`"),
    ("stop: {steps: 1}", "stop", "its place is `growth.stop`"),
    ("train: {batchsize: 3}", "train.batchsize", "did you mean `batch_size`?"),
]
"""Words of this language in a section of another level."""
MISPLACED_IN_NODES = [
    (", max: 9", "max", "its place is `nodes.h.grow.max`"),
    (", grow: {activation: relu}", "grow.activation", "its place is `nodes.h.activation`"),
    (", kernel: 3", "kernel", "known keys are"),  # `grow.kernel` is a word
]
NUMBERS_OR_WORDS = [
    ("growth: {stop: {parameters_per_sample: ten}}", "known values: auto, none, or a number"),
    ("growth: {stop: {parameters_per_sample: atuo}}", "Known values: auto, none, or a number"),
    ("growth: {stop: {parameters_per_sample: '10'}}", "or one of auto, none: write 10 without quotes"),
    ("growth: {stop: {parameters_per_sample: [2]}}", "expected a number, or one of auto, none"),
    ("train: {threshold: half}", "known values: tuned, or a number"),
    ("train: {threshold: true}", "expected a number, or tuned"),
    ("train: {clip: half}", 'found "half", expected a number'),
]


@pytest.mark.parametrize("name", sorted({document for document, *_ in DOCUMENTS}))
def test_each_foreign_word_of_a_document_is_answered(name: str) -> None:
    path = HABITS / f"{name}.yaml"
    found = [(problem.line, problem.message) for problem in check_spec(path)]
    for document, line, word, write in DOCUMENTS:
        if document == name:
            told = [message for at, message in found if at == line and word in message]
            assert any(write in message for message in told), (line, word, found)


def test_channels_last_is_told_in_a_document_with_other_problems_alone() -> None:
    sound = """
        nodes:
          x: {kind: input, shape: [28, 28, 1]}
          y: {kind: conv2d, from: x, features: 2, kernel: KERNEL}
        output: y
    """
    assert not check_spec(sound.replace("KERNEL", "1"))
    found = {problem.path: problem.message for problem in check_spec(sound.replace("KERNEL", "3"))}
    assert set(found) == {"nodes.x.shape", "nodes.y.kernel"}
    assert "write `[1, 28, 28]`" in found["nodes.x.shape"]


@pytest.mark.parametrize(("node", "key", "message"), NODES)
def test_words_of_nodes(node: str, key: str, message: str) -> None:
    found = {problem.path: problem.message for problem in check_spec(FRAME.format(node=node, sections=""))}
    assert message in found[f"nodes.h.{key}"]


@pytest.mark.parametrize(("section", "path", "message"), SECTIONS)
def test_words_of_sections(section: str, path: str, message: str) -> None:
    found = {
        problem.path: problem.message for problem in check_spec(FRAME.format(node=LINEAR, sections=section))
    }
    assert message in found[path]
    assert len(found) == 1


@pytest.mark.parametrize(("section", "path", "message"), MISPLACED)
def test_a_word_at_the_wrong_level_is_pointed_to_its_place(section: str, path: str, message: str) -> None:
    text = FRAME.format(node=LINEAR, sections=section)
    ((found, told),) = ((problem.path, problem.message) for problem in check_spec(text))
    assert found == path
    assert told.endswith(message)


@pytest.mark.parametrize(("written", "key", "message"), MISPLACED_IN_NODES)
def test_a_word_of_a_node_at_the_wrong_level_too(written: str, key: str, message: str) -> None:
    text = FRAME.format(node=LINEAR.replace("}", written + "}"), sections="")
    (problem,) = check_spec(text)
    assert problem.path == f"nodes.h.{key}"
    assert message in problem.message


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("growth.stop.beyond=1.5", "`growth.beyond`"),
        ("growth.stop.when.until=0.5", "`growth.when.until`"),
        ("growth.steps=4", "`growth.when.steps` or `growth.stop.steps`"),
        ("nodes.h.max=9", "`nodes.h.grow.max`"),
        ("train.batchsize=9", "`train.batch_size`"),
    ],
)
def test_a_path_at_the_wrong_level_is_pointed_to_its_place(override: str, meant: str) -> None:
    (problem,) = check_spec(FRAME.format(node=LINEAR, sections=""), overrides=[override])
    assert problem.message.endswith(f"did you mean {meant}?")


def test_sections_in_python_point_to_the_place_too() -> None:
    with pytest.raises(SpecError, match=r"unknown key `until`: its place is `growth\.when\.until`"):
        Growth(until=0.5)  # type: ignore[call-arg]


@pytest.mark.parametrize(("section", "message"), NUMBERS_OR_WORDS)
def test_a_setting_that_takes_a_number_or_a_word_names_both(section: str, message: str) -> None:
    (problem,) = check_spec(FRAME.format(node=LINEAR, sections=section))
    assert problem.message.endswith(message)


def test_the_words_to_write_are_those_of_the_language() -> None:
    keys = {key for kind in KINDS.values() for key in keys_of(kind)}
    assert {key for key in _NODE_KEYS.values() if key} <= keys
    assert set(_KINDS.values()) <= set(KINDS)
