"""Common tests that do not apply, each with the variants it is excused for and why. One that passes fails the run."""

EVERY_METHOD = (
    *("aural_sam2", "aural_sam2-release", "aural_sam2-no_text", "aural_sam2-classes"),
    *("gavs", "gavs-sam2", "gavs-sam2_text", "sam2_love", "sam2_love-every_option"),
    *("sama_avs", "sama_avs-sam2", "sama_avs-sam2_text", "st_bava", "st_bava-gate"),
)

# Name of the test, variants, reason.
EXCUSED: list[tuple[str, tuple[str, ...], str]] = []
