"""Training: what is trained, on which batches, what is kept of it, and what it costs."""
