"""Methods trained alike on synthetic clips, and the tables that compare them."""
