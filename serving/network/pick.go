package network

// Ask is how the token after a run is to be chosen, where the cache chooses tokens itself: as generate.Search says.
type Ask struct {
	Temperature float64 // 0: the likeliest token
	TopK        int
	TopP, MinP  float64
	Draw        uint64  // its upper 53 bits are a number in [0, 1)
	Hidden      []int32 // tokens that are not chosen
}

// Pick is a choice.
type Pick struct {
	Token   int32   // -1: there is none, as the logits are not numbers
	LogProb float32 // under the model
	Sampled float32 // log-probability under the distribution that it was drawn from; 0: it was not
}

// Output is what a forward pass gives, in the order of the runs. It holds until the next pass.
type Output struct {
	States []float32 // that runs ask for, of the model's width each
	Picks  []Pick    // of the runs that ask for one
}
