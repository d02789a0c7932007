"""The demos of the methods on synthetic clips, and the pages that report them."""
