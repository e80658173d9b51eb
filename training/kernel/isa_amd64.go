package kernel

func isaOf(Level) *isa { return &portableISA }
