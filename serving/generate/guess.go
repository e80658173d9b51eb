package generate

import "slices"

// guesser proposes how a text goes on: as it went on after the last time that it had the same two tokens (prompt lookup; Saxena 2023). The network
// judges all guesses in one pass, in which a few rows cost hardly more than one: the weights are read once.
//
// A guess never changes a text. A token is chosen from the logits after the tokens before it, by a draw that depends on the seed and its place; the
// logits after a guess are used only if the token that was chosen is the one that was guessed, and a row's bits do not depend on the others.
type guesser struct {
	tokens []int32          // of the prompt and the text
	after  map[[2]int32]int // where the token that last followed a pair is
}

func newGuesser(prompt []int32) *guesser {
	s := &guesser{after: map[[2]int32]int{}}
	for _, id := range prompt {
		s.add(id)
	}
	return s
}

func (s *guesser) add(id int32) {
	if n := len(s.tokens); n >= 2 {
		s.after[[2]int32{s.tokens[n-2], s.tokens[n-1]}] = n
	}
	s.tokens = append(s.tokens, id)
}

// guess returns at most n tokens.
func (s *guesser) guess(n int) []int32 {
	k := len(s.tokens)
	if k < 2 || n < 1 {
		return nil
	}
	at, ok := s.after[[2]int32{s.tokens[k-2], s.tokens[k-1]}]
	if !ok {
		return nil
	}
	out := s.tokens[at:min(k, at+n)]
	if image := slices.IndexFunc(out, func(id int32) bool { return id < 0 }); image >= 0 {
		out = out[:image] // embeddings are not written
	}
	return out
}
