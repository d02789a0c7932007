"""Configurations of the text encoders."""

# Of `RobertaConfig`: distilroberta-base.
DISTILROBERTA = {
    "vocab_size": 50265,
    "num_hidden_layers": 6,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}
