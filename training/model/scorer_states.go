package model

// ImageStates returns the image tower's output for each image, (n, Tokens, C):
// what a decoder attends to.
func (s *Scorer) ImageStates(images []float32) (states []float32, n int, err error) {
	return s.imageStates(images)
}
