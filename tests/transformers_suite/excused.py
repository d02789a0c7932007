"""Common tests that do not apply, each with the testers it is excused for and why. One that passes fails the run."""

from itertools import product

ON_SAM2 = (
    *("AuralSam2Test", "AuralSam2ReleaseTest", "AuralSam2NoTextTest", "AuralSam2ClassesTest"),
    *("GavsSam2Test", "GavsSam2TextTest", "Sam2LoveTest", "Sam2LoveEveryOptionTest"),
    *("SamaAvsSam2Test", "SamaAvsSam2TextTest"),
)
WITHOUT_MAPS = (
    *("AuralSam2ReleaseTest", "GavsTest", "GavsSam2Test", "GavsSam2TextTest"),
    *("SamaAvsTest", "SamaAvsSam2Test", "SamaAvsSam2TextTest"),
    *("AvsegFormerTextTest", "EemcTest", "EemcPaperTest", "SimTokenTest", "ReferFormerTest", "TpaviTextTest"),
    *("SteppingStonesTest", "SteppingStonesClassesTest"),
)
# Nothing in these records attention, so that not every test asks for it.
WITHOUT_ATTENTION = (
    *("AvsegFormerTest", "AvsegFormerClassesTest"),
    *("TpaviTest", "TpaviClassesTest"),
)
TOKENIZER_MAY_BE_MISSING = (
    *("AuralSam2ProcessorTest", "AuralSam2NoTextProcessorTest", "GavsProcessorTest", "GavsTextProcessorTest"),
    *("SamaAvsProcessorTest", "SamaAvsSam2ProcessorTest", "SamaAvsTextProcessorTest"),
    *("AvsegFormerProcessorTest", "AvsegFormerTextProcessorTest", "TpaviProcessorTest", "TpaviTextProcessorTest"),
)
READ_AND_HEAR = ("EemcProcessorTest", "Sam2LoveProcessorTest", "SimTokenProcessorTest")
READ_ALWAYS = (*READ_AND_HEAR, "ReferFormerProcessorTest")
HEAR = (*TOKENIZER_MAY_BE_MISSING, *READ_AND_HEAR, "StBavaProcessorTest", "SteppingStonesProcessorTest")
PROCESSORS = (*HEAR, "ReferFormerProcessorTest")
CHECKPOINTED_AS_ONE = ("GavsTest", "GavsSam2Test", "GavsSam2TextTest", "SamaAvsSam2Test", "SamaAvsSam2TextTest")
METHODS = (
    *(*ON_SAM2, "EemcTest", "EemcPaperTest", "GavsTest", "SamaAvsTest", "StBavaTest", "StBavaGateTest"),
    *("SteppingStonesTest", "SteppingStonesClassesTest", "SimTokenTest"),
    *("AvsegFormerTextTest", "ReferFormerTest", "TpaviTextTest", *WITHOUT_ATTENTION),
)
REFUSED = "it asks for attentions, which a model without any between sound, words and frames refuses in one line"

# Name of the test, testers, reason.
EXCUSED: list[tuple[str, tuple[str, ...], str]] = [
    ("test_model_is_small", ON_SAM2, "the smallest SAM2 that the library's code runs has 1.5 million parameters"),
    (
        "test_init_weights_can_init_buffers",
        ON_SAM2,
        "SAM2's position code is drawn anew; the test takes the randomness out of configurations one level deep only",
    ),
    (
        "test_reverse_loading_mapping",
        (
            *("EemcTest", "EemcPaperTest", "Sam2LoveTest", "Sam2LoveEveryOptionTest", "StBavaTest", "StBavaGateTest"),
            *("SteppingStonesTest", "SteppingStonesClassesTest"),
        ),
        "models are saved under their own key names: a resumed training would skip legacy names of nested encoders",
    ),
    ("test_capture_outputs_decorator", WITHOUT_MAPS, REFUSED),
    ("test_model_outputs_equivalence", (*WITHOUT_MAPS, *WITHOUT_ATTENTION), REFUSED),
    (
        "test_eager_matches_sdpa_inference_24_fp32_pad_left_output_attentions",
        (*WITHOUT_MAPS, *WITHOUT_ATTENTION),
        REFUSED,
    ),
    *(
        (
            f"test_eager_matches_sdpa_inference_{number:02}_{dtype}_pad_{side}{mask}{kernels}",
            ("SimTokenTest",),
            "it draws the tokens of further clips at random, which make no prompt and are refused",
        )
        for number, (dtype, side, mask, kernels) in enumerate(
            product(("fp16", "fp32", "bf16"), ("left", "right"), ("", "_no_attn_mask"), ("_sdpa_kernels", ""))
        )
    ),
    (
        "test_retain_grad_hidden_states_attentions",
        METHODS,
        "it looks for gradients in one `attentions`; ours are named by what attends to what, and encoders are frozen",
    ),
    (
        "test_training_gradient_checkpointing_use_reentrant_true",
        METHODS,
        "a reentrant checkpoint drops gradients where a layer's input needs none, and is refused",
    ),
    (
        "test_training_gradient_checkpointing",
        CHECKPOINTED_AS_ONE,
        "all blocks of the image encoder are checkpointed together with their adapters, in one call around them",
    ),
    (
        "test_training_gradient_checkpointing_use_reentrant_false",
        CHECKPOINTED_AS_ONE,
        "all blocks of the image encoder are checkpointed together with their adapters, in one call around them",
    ),
    (
        "test_training_gradient_checkpointing",
        ("EemcTest", "EemcPaperTest", "SteppingStonesTest", "SteppingStonesClassesTest"),
        "it looks at a stage of Swin; its blocks are checkpointed, which inside of such a stage would run once more",
    ),
    (
        "test_training_gradient_checkpointing_use_reentrant_false",
        ("EemcTest", "EemcPaperTest", "SteppingStonesTest", "SteppingStonesClassesTest"),
        "it looks at a stage of Swin; its blocks are checkpointed, which inside of such a stage would run once more",
    ),
    (
        "test_valid_processor_kwargs_set",
        PROCESSORS,
        "it wants a class of options for each processor, in its module and of its name; ours have one in common",
    ),
    (
        "test_subprocessor_defaults_1_images",
        PROCESSORS,
        "it wants the shape that the image processor gives an image; in a clip there is an axis of frames before it",
    ),
    (
        "test_subprocessor_defaults_3_audio",
        HEAR,
        "it names no sampling rate, which the sound's patches depend on; a guess would be silently wrong",
    ),
    (
        "test_subprocessor_defaults_0_text",
        READ_ALWAYS,
        "it calls the tokenizer without padding; sentences of a clip have one length",
    ),
    (
        "test_subprocessor_defaults_preserved_by_kwargs_0_images",
        READ_ALWAYS,
        "it expects the tokenizer's own max_length, for which the processor has max_text_length",
    ),
    (
        "test_subprocessor_defaults_preserved_by_kwargs_2_audio",
        READ_AND_HEAR,
        "it expects the tokenizer's own max_length, for which the processor has max_text_length",
    ),
    (
        "test_processor_from_and_save_pretrained_as_nested_dict",
        ("Sam2LoveProcessorTest", "SimTokenProcessorTest"),
        "it asks Transformers for an Auto class of vit_ or clip_image_processor, names that it does not know",
    ),
    *(
        (
            f"test_{name}_{kind}",
            ("SimTokenProcessorTest",),
            "it pads what the tokenizer makes of a sentence; prompts, which hold more, are padded to the longest",
        )
        for name in (
            "kwargs_overrides_default_subprocessor_kwargs",
            "structured_kwargs_nested_from_dict",
            "unstructured_kwargs",
            "unstructured_kwargs_batched",
        )
        for kind in ("0_images", "2_audio")
    ),
    (
        "test_init_arguments_not_in_class_attributes",
        TOKENIZER_MAY_BE_MISSING,
        "the tokenizer, which may be missing, is a property and no obligatory sub-processor",
    ),
    (
        "test_processor_from_pretrained_vs_from_components",
        (
            *("AuralSam2ProcessorTest", "AvsegFormerTextProcessorTest", "GavsTextProcessorTest"),
            *("SamaAvsTextProcessorTest", "TpaviTextProcessorTest"),
        ),
        "it builds a processor of the obligatory sub-processors alone, without the tokenizer, which may be missing",
    ),
    (
        "test_processor_from_pretrained_vs_from_components",
        ("ReferFormerProcessorTest",),
        "it builds a processor of the sub-processors alone, which do not say how many words the text encoder reads",
    ),
]
