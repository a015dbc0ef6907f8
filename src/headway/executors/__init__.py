"""Where steps run: what turns a batch into a model's inputs, and its outputs into outcomes."""
