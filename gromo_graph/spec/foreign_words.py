"""Words of Keras, PyTorch and ONNX, with what to write instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gromo_graph.spec.wording import folded

_LEAVE_OUT = "leave it out, it follows from the sources"

_NODE_KEYS = {
    **dict.fromkeys(
        (
            *("units", "filters", "out_features", "out_channels", "embedding_dim", "output_dim"),
            *("hidden_size", "hidden_dim", "intermediate_size", "num_classes"),
        ),
        "features",
    ),
    **dict.fromkeys(
        (
            *("in_features", "in_channels", "input_shape", "normalized_shape", "num_features"),
            *("input_size", "embed_dim"),
        ),
        "",
    ),
    **dict.fromkeys(("kernel_size", "pool_size", "kernel_shape", "window_shape", "size"), "kernel"),
    **dict.fromkeys(("type", "class", "op", "op_type", "layer_type"), "kind"),
    **dict.fromkeys(("input", "inputs", "source", "sources", "parents"), "from"),
    **dict.fromkeys(("act", "act_fn", "hidden_act", "nonlinearity"), "activation"),
    **dict.fromkeys(("rate", "ratio", "dropout_rate", "prob"), "p"),
    **{
        "strides": "stride",
        "dilation_rate": "dilation",
        "dilations": "dilation",
        "dims": "shape",
        "interpolation": "mode",
        "hidden_dropout_prob": "dropout",
        "pads": "padding",
        "use_bias": "bias",
    },
    **{
        **dict.fromkeys(("num_heads", "n_heads", "num_attention_heads"), "heads"),
        "num_groups": "groups",
        "num_embeddings": "vocabulary",
        "vocab_size": "vocabulary",
        "input_dim": "vocabulary",
    },
    **{"epsilon": "eps", "freeze": "frozen", "trainable": "frozen"},
}
"""Keys of nodes, with the key of this language; empty for those that have none."""

_NODE_ADVICE = {
    **dict.fromkeys(
        (
            *("inplace", "batch_first", "return_sequences", "start_dim", "axis", "dim", "data_format"),
            *("kernel_initializer", "bias_initializer", "elementwise_affine", "affine", "trans_b", "group"),
        ),
        "leave it out, there is one way here",
    ),
    "cropping": "write `padding`, with negative numbers",
    "num_layers": "write a node for each layer",
    "bidirectional": "write a second node with `reverse: true`, and a `merge` of both",
}
"""Keys of nodes that no single key stands for, with what to do."""

_SECTION_KEYS: Mapping[str, Mapping[str, str]] = {
    "train": {
        **dict.fromkeys(("lr", "learning_rate"), "write `optimizer: {lr: ...}`"),
        "weight_decay": "write `optimizer: {weight_decay: ...}`",
        "momentum": "write `optimizer: {momentum: ...}`",
        **dict.fromkeys(
            ("epoch", "num_epochs", "n_epochs", "max_epochs", "num_train_epochs", "max_iter"),
            "write `epochs`",
        ),
        **dict.fromkeys(("steps", "max_steps"), "write `epochs`, each reads all samples once"),
        **dict.fromkeys(("solver", "tx"), "write `optimizer: {name: ...}`"),
        "learning_rate_init": "write `optimizer: {lr: ...}`",
        "alpha": "write `optimizer: {weight_decay: ...}`",
        **dict.fromkeys(("patience", "n_iter_no_change"), "write `early_stopping: {patience: ...}`"),
        **dict.fromkeys(
            ("gradient_clip_val", "max_grad_norm", "grad_clip", "clipnorm", "clip_grad_norm"), "write `clip`"
        ),
        **dict.fromkeys(
            ("validation_split", "validation_fraction", "val_split", "test_size"), "write `validation`"
        ),
        "per_device_train_batch_size": "write `batch_size`",
        "accumulate_grad_batches": "write `accumulate`",
        **dict.fromkeys(("scoring", "metric_for_best_model"), "write `metrics`"),
        **dict.fromkeys(("warmup_steps", "warmup_ratio"), "write `warmup`, a share of the training"),
        "shuffle": "leave it out, the training samples are always shuffled",
        "verbose": "option `--verbose`",
        **dict.fromkeys(("accelerator", "devices"), "option `--device`"),
        "precision": "option `--amp`",
        **dict.fromkeys(
            ("scheduler", "lr_schedule", "lr_scheduler", "lr_scheduler_type"), "write `schedule`"
        ),
        **dict.fromkeys(("dataset", "data_path"), "write `data`"),
        **dict.fromkeys(("criterion", "loss_fn"), "write `loss`"),
        **dict.fromkeys(("seed", "random_state", "random_seed"), "option `--seed`"),
        "device": "option `--device`",
    },
    "growth": {
        **dict.fromkeys(("max_parameters", "max_params"), "write `stop: {parameters: ...}`"),
        **dict.fromkeys(("budget", "max_steps"), "write `stop: {steps: ...}` or `stop: {parameters: ...}`"),
        **dict.fromkeys(("strategy", "method"), "write `criterion`"),
    },
    "train.optimizer": {
        **dict.fromkeys(("learning_rate", "eta"), "write `lr`"),
        **dict.fromkeys(("type", "kind", "class"), "write `name`"),
        **dict.fromkeys(("l2", "decay", "wd"), "write `weight_decay`"),
    },
    "": {
        **dict.fromkeys(("layers", "model", "modules", "network", "graph"), "write `nodes`"),
        **dict.fromkeys(("training", "trainer", "compile", "fit"), "write `train`"),
        **dict.fromkeys(("seed", "random_state", "seed_everything"), "option `--seed`"),
        "device": "option `--device`",
        **{
            key: f"write `train: {{{key}: ...}}`"
            for key in ("data", "loss", "optimizer", "epochs", "batch_size", "schedule")
        },
        **dict.fromkeys(("lr", "learning_rate"), "write `train: {optimizer: {lr: ...}}`"),
        **dict.fromkeys(("max_parameters", "budget"), "write `growth: {stop: {parameters: ...}}`"),
    },
}
"""Keys of sections and of the whole document (""), with what to do."""

_KINDS = {
    **dict.fromkeys(("dense", "fc", "fully_connected", "gemm", "matmul", "lm_head"), "linear"),
    **dict.fromkeys(("input_layer", "placeholder"), "input"),
    **dict.fromkeys(("batch_norm1d", "batch_norm2d", "batch_normalization", "bn"), "batch_norm"),
    "layer_normalization": "layer_norm",
    "group_normalization": "group_norm",
    **dict.fromkeys(("max_pool", "max_pooling2d"), "max_pool2d"),
    **dict.fromkeys(("avg_pool", "average_pool", "average_pooling2d"), "avg_pool2d"),
    **dict.fromkeys(("max_pooling1d",), "max_pool1d"),
    **dict.fromkeys(("average_pooling1d",), "avg_pool1d"),
    **dict.fromkeys(
        ("global_average_pooling2d", "global_average_pool", "global_avg_pool2d", "global_avg_pool"),
        "adaptive_avg_pool2d",
    ),
    **dict.fromkeys(("global_average_pooling1d", "global_avg_pool1d"), "adaptive_avg_pool1d"),
    **dict.fromkeys(("global_max_pooling2d", "global_max_pool"), "adaptive_max_pool2d"),
    **dict.fromkeys(
        ("stochastic_depth", "drop_path", "dropout1d", "dropout2d", "spatial_dropout2d"), "dropout"
    ),
    **dict.fromkeys(("zero_pad2d", "zero_padding2d", "reflection_pad2d", "replication_pad2d"), "pad"),
    **dict.fromkeys(("layer_scale",), "affine"),
    **dict.fromkeys(("upsampling2d", "upsample", "resize"), "upsample2d"),
    **dict.fromkeys(("cropping2d", "cropping1d"), "pad"),
    **dict.fromkeys(("positional_encoding", "positional_embedding", "position_embedding"), "positions"),
    **dict.fromkeys(("rescaling",), "scale"),
    **dict.fromkeys(("mul", "multiply"), "merge"),
    **dict.fromkeys(("conv", "convolution", "convolution2d"), "conv2d"),
    **dict.fromkeys(("conv2d_transpose", "deconv", "deconvolution"), "conv_transpose2d"),
    **dict.fromkeys(("add", "sum", "plus", "concat", "concatenate", "cat"), "merge"),
    **dict.fromkeys(("multi_head_attention", "multihead_attention", "self_attention"), "attention"),
}

_OTHER_KINDS = {
    **dict.fromkeys(("reshape", "view"), "write `flatten` or `unflatten`"),
    **dict.fromkeys(("separable_conv2d",), "write a `depthwise_conv2d` and a `conv2d` with `kernel: 1`"),
    **dict.fromkeys(("subtract",), "write a `scale` of -1 and a `merge`, with `merge: sum`"),
    **dict.fromkeys(("time_distributed",), "leave it out, layers of a sequence read each position by itself"),
}
"""Kinds that no single kind stands for, with what to do."""

_VALUES: Mapping[str, Mapping[str, str]] = {
    "activation": {
        "softmax": "leave it out, `loss: cross_entropy` applies it",
        "log_softmax": "leave it out, `loss: cross_entropy` applies it",
        **dict.fromkeys(("linear", "none"), "write `identity`"),
        "swish": "write `silu`",
        "logistic": "write `sigmoid`",
    },
    "padding": {"valid": "write `0`, or leave it out", "none": "write `0`, or leave it out"},
    "loss": {
        **dict.fromkeys(
            ("categorical_crossentropy", "sparse_categorical_crossentropy", "nll", "nll_loss"),
            "write `cross_entropy`",
        ),
        "cross_entropy_loss": "write `cross_entropy`",
        **dict.fromkeys(
            ("bce", "bce_loss", "bce_with_logits", "bce_with_logits_loss"), "write `binary_cross_entropy`"
        ),
        **dict.fromkeys(("mean_squared_error", "mse_loss", "l2"), "write `mse`"),
        **dict.fromkeys(("mean_absolute_error", "mae", "l1_loss"), "write `l1`"),
    },
    "metrics": {
        **dict.fromkeys(("f1", "f1_score", "macro_f1"), "write `f1_macro`"),
        **dict.fromkeys(("acc", "categorical_accuracy", "binary_accuracy"), "write `accuracy`"),
        **dict.fromkeys(("auc", "auroc", "roc_auc_score"), "write `roc_auc`"),
        **dict.fromkeys(("mse", "mean_squared_error", "root_mean_squared_error"), "write `rmse`"),
        **dict.fromkeys(("mean_absolute_error", "l1"), "write `mae`"),
        **dict.fromkeys(("r2_score", "r_squared"), "write `r2`"),
        **dict.fromkeys(("cross_entropy", "nll"), "write `log_loss`"),
    },
    "schedule": {
        **dict.fromkeys(("cosine_annealing", "cosine_annealing_lr", "cosine_decay"), "write `cosine`"),
        **dict.fromkeys(("step_lr", "multi_step_lr"), "write `step`"),
        "reduce_lr_on_plateau": "write `plateau`",
        "one_cycle_lr": "write `one_cycle`",
    },
}
"""Words for the values of a key, with what to do."""

_MAPS = {"optimizer": "name", "neurons": "per_step", "when": "every", "stop": "parameters"}
"""Keys with a map of their own, and the key in it that a plain value is meant for."""

_FUNCTIONS = ("relu", "leaky_relu", "gelu", "selu", "silu", "tanh", "sigmoid", "softplus", "elu")

_FEW_CHANNELS = (1, 3)


def advice_for_key(word: str, section: str, known: tuple[str, ...]) -> str | None:
    """Advice about a foreign key, or None if it is not known.

    Args:
        section: its path: `train`, `growth`, or empty for the whole document; any other is that of a node.
        known: the keys that stand there.

    >>> advice_for_key("units", "nodes", ("kind", "features"))
    'write `features`'
    """
    if section in _SECTION_KEYS:
        return _look_up(_SECTION_KEYS[section], word)
    key = _look_up(_NODE_KEYS, word)
    if key == "frozen" and "tie" in known:
        return "write `growth: {freeze: old}`, for all layers, or `frozen: true` at the node"
    if key == "":
        return _LEAVE_OUT
    if key is None:
        return _look_up(_NODE_ADVICE, word)
    return f"write `{key}`" if key in known else None


def kind_meant(word: str) -> str | None:
    """The kind that a foreign name stands for, or None."""
    return _look_up(_KINDS, word)


def advice_for_kind(word: str) -> str | None:
    """Advice about a foreign kind, or None if it is not known.

    >>> advice_for_kind("Dense"), advice_for_kind("concat")
    ('write `linear`', 'write `merge`, with `merge: concat`')
    """
    if folded(word) in map(folded, (*_FUNCTIONS, "activation")):
        return "an activation is no node, write it as `activation` of the node before"
    other = _look_up(_OTHER_KINDS, word)
    if other is not None:
        return other
    kind = kind_meant(word)
    if kind == "merge":
        how = {"c": "concat", "m": "product"}.get(folded(word)[0], "sum")
        return f"write `merge`, with `merge: {how}`"
    return None if kind is None else f"write `{kind}`"


def advice_for_value(key: str, word: str) -> str | None:
    """Advice about a foreign word for the value of a key, or None if it is not known."""
    return _look_up(_VALUES.get(key, {}), word)


def advice_for_map(key: str, value: str) -> str | None:
    """The map of a key that a plain value stands for, or None.

    >>> advice_for_map("optimizer", "Adam")
    'write `optimizer: {name: adam}`'
    """
    word = value.lower() if key == "optimizer" else value
    return f"write `{key}: {{{_MAPS[key]}: {word}}}`" if key in _MAPS else None


def advice_for_shape(shape: Sequence[object]) -> str | None:
    """Advice about the shape of an image that seems to have its channels at the end, or None.

    >>> advice_for_shape([28, 28, 1])
    '`shape: [28, 28, 1]`: write `[1, 28, 28]`, the channels of an image come first'
    """
    match list(shape):
        case [int(height), int(width), int(channels)] if height == width > channels in _FEW_CHANNELS:
            written, meant = [height, width, channels], [channels, height, width]
            return f"`shape: {written}`: write `{meant}`, the channels of an image come first"
    return None


def _look_up(table: Mapping[str, str], word: str) -> str | None:
    return {folded(key): value for key, value in table.items()}.get(folded(word))
