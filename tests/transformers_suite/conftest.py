def pytest_configure(config):
    for marker in MARKERS:
        config.addinivalue_line("markers", f"{marker}: of Transformers' common tests")


MARKERS = (
    *("accelerate_tests", "flash_attn_test", "flash_attn_3_test", "flash_attn_4_test", "torch_compile_test"),
    *("torch_export_test", "generate", "is_staging_test", "not_device_test", "is_agent_test", "is_training_test"),
    *("is_pipeline_test", "all_flash_attn_test", "tensor_parallel_test", "is_tensor_parallel_test"),
)
