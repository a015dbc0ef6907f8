"""Commands: one thin file each. They read flags, call what does the work, and show what came of it."""
