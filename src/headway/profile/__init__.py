"""What `headway calibrate` found out about a model on a machine: its file, its formula, whose it is."""
