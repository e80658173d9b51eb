package search

import "context"

// Samples are whole texts of each problem, drawn independently.
type Samples struct {
	Texts  [][]Text    // by problem
	Scores [][]float64 // by the verifier, where there is one
}

// Sample writes n texts for each problem and, with a verifier, judges them.
func (s *Searcher) Sample(ctx context.Context, n int) (*Samples, error) {
	from := make([]Beginning, s.Problems)
	for p := range from {
		from[p] = Beginning{Text: Text{Problem: p}, Samples: n, Seed: s.seed(p, 0), Whole: true}
	}
	written, err := s.Writer.Write(ctx, from)
	if err != nil {
		return nil, err
	}
	all := &Samples{Texts: make([][]Text, s.Problems)}
	var flat []Text
	for p, list := range written {
		for _, steps := range list {
			t := Text{p, steps}
			all.Texts[p], flat = append(all.Texts[p], t), append(flat, t)
		}
	}
	if s.Verifier == nil {
		return all, nil
	}
	scores, err := s.judge(ctx, flat)
	if err != nil {
		return nil, err
	}
	for _, list := range all.Texts {
		all.Scores, scores = append(all.Scores, scores[:len(list):len(list)]), scores[len(list):]
	}
	return all, nil
}

// first are the outcomes of a choice among the first n texts of each problem.
func (a *Samples) first(n int, choose func(problem int, texts []Text) (at int, score float64)) []Outcome {
	out := make([]Outcome, len(a.Texts))
	for p, texts := range a.Texts {
		texts = texts[:min(n, len(texts))]
		at, score := choose(p, texts)
		out[p] = Outcome{Text: texts[at], Score: score}
		for _, t := range texts {
			out[p].Spent += cost(t.Steps)
		}
	}
	return out
}

// Best chooses what the verifier finds best among the first n.
func (a *Samples) Best(n int) ([]Outcome, error) {
	if a.Scores == nil {
		return nil, errVerifier
	}
	return a.first(n, func(p int, texts []Text) (int, float64) {
		scores := a.Scores[p][:len(texts)]
		at := best(scores)
		return at, scores[at]
	}), nil
}

// Likeliest chooses what the writer itself finds likeliest among the first n.
func (a *Samples) Likeliest(n int) []Outcome {
	return a.first(n, func(_ int, texts []Text) (int, float64) {
		scores := make([]float64, len(texts))
		for i, t := range texts {
			scores[i] = t.LogProb()
		}
		at := best(scores)
		return at, scores[at]
	})
}

// Weighting is what the voice of a text counts in a vote.
type Weighting string

// The weightings.
const (
	Equal    Weighting = "equal"    // one text, one voice (Wang et al. 2022, self-consistency)
	Verified Weighting = "verified" // the verifier's score
)

// Vote chooses the answer that most voices of the first n are for, of equal ones the first, and of its texts the first. answer gives the answer of a text,
// "" for none; a text without an answer has no voice.
func (a *Samples) Vote(n int, w Weighting, answer func(Text) string) ([]Outcome, error) {
	if w == Verified && a.Scores == nil {
		return nil, errVerifier
	}
	return a.first(n, func(p int, texts []Text) (int, float64) {
		sums, firstOf, order := map[string]float64{}, map[string]int{}, []string{}
		for i, t := range texts {
			said := answer(t)
			if said == "" {
				continue
			}
			if _, seen := firstOf[said]; !seen {
				firstOf[said], order = i, append(order, said)
			}
			voice := 1.0
			if w == Verified {
				voice = a.Scores[p][i]
			}
			sums[said] += voice
		}
		at, most := 0, 0.0
		for k, said := range order {
			if k == 0 || sums[said] > most {
				at, most = firstOf[said], sums[said]
			}
		}
		return at, most
	}), nil
}
