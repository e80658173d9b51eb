package device

// Recorder is a backend that can be asked for many calls by one: a step of small kernels takes the device less time than it takes the host to ask for each.
type Recorder interface {
	// Records tells whether it does so, or has been told not to.
	Records() bool
	// Record begins a recording: until Recorded what is asked for is noted, and not done. It must have been done before, so that what its kernels need is
	// there; it must be the same whatever the values hold, and nothing may wait for it. Nobody else may ask for work meanwhile.
	Record() error
	// Recorded ends the recording. Its work has not been done.
	Recorded() (Recording, error)
}

// Recording is work that can be asked for again, on the same values.
type Recording interface {
	// Replay asks for all of it.
	Replay() error
	// Close forgets it, once it is done.
	Close() error
}
