"""Configurations of the text encoders."""

# Of `RobertaConfig`: distilroberta-base.
DISTILROBERTA = {
    "vocab_size": 50265,
    "num_hidden_layers": 6,
    "max_position_embeddings": 514,
    "type_vocab_size": 1,
    "layer_norm_eps": 1e-5,
}


def tiny_text_config(vocab_size: int) -> dict:
    """A RoBERTa of one layer and 64 channels for tests and demonstrations."""
    return {
        "model_type": "roberta",
        "vocab_size": vocab_size,
        "hidden_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 128,
        "max_position_embeddings": 64,
        "type_vocab_size": 1,
    }
