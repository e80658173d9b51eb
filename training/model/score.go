package model

import (
	"cmp"
	"math"

	"tempera/training/graph"
	"tempera/training/op"
)

// Score is a head that judges completions, or steps of them, by a number: a reward model, a verifier or a process reward model. What is judged is
// a span of a text's tokens.
type Score struct {
	Readout Readout `json:"readout"`
	Unit    Unit    `json:"unit"`
	// Scale is what a sum is multiplied by, so that a long span does not begin with a large number. Last has none.
	Scale float64 `json:"scale,omitempty"`
	Bias  float64 `json:"bias,omitempty"` // likelihood: where score.bias starts
}

// Readout is how the numbers of a span's tokens become one.
type Readout string

// The readouts.
const (
	// LastScore is that of the last token, as in transformers' *ForSequenceClassification (Ouyang et al. 2022).
	LastScore Readout = "last"
	// SumOfScores adds those of all tokens: each is judged where it stands, which small models learn sooner.
	SumOfScores Readout = "sum"
	// Likelihood is score.weight times the sum of the log-probabilities that the model, fine-tuned, gives to the tokens, and score.bias: a
	// generator that becomes a verifier keeps what it knows.
	Likelihood Readout = "likelihood"
)

// Unit is what a score head judges.
type Unit string

// The units.
const (
	CompletionUnit Unit = "completion"
	StepUnit       Unit = "step"
)

// Heads tells whether tokens have scores of their own, see Model.Scores.
func (s Score) Heads() bool { return s.Readout != Likelihood }

func (s Score) resolve() *Score {
	s.Readout, s.Unit = cmp.Or(s.Readout, LastScore), cmp.Or(s.Unit, CompletionUnit)
	if s.Readout != LastScore {
		s.Scale = cmp.Or(s.Scale, 1)
	}
	return &s
}

func (s Score) validate(f *faults, c Config) {
	f.oneOf("score.readout", string(s.Readout), string(LastScore), string(SumOfScores), string(Likelihood))
	f.oneOf("score.unit", string(s.Unit), string(CompletionUnit), string(StepUnit))
	if s.Readout == LastScore && s.Scale != 0 {
		f.add("score.scale is for sums: remove it, or set score.readout to sum")
	}
	if s.Readout != LastScore && !(s.Scale > 0 && s.Scale <= 1e6) {
		f.add("score.scale is %v: give a positive number", s.Scale)
	}
	if s.Bias != 0 && s.Readout != Likelihood || !(math.Abs(s.Bias) <= 1e6) {
		f.add("score.bias is %v: it is for the readout likelihood", s.Bias)
	}
	if !c.decoder() {
		f.add("score is for lm and vlm: remove it")
	}
}

// scoreWeight and scoreBias are the parameters of a score head.
const (
	scoreWeight = "score" + weightSuffix
	scoreBias   = "score" + biasSuffix
)

// list gives a head the variance 1/(C+1) (Stiennon et al. 2020).
func (s Score) list(l *lister, width int) {
	if s.Heads() {
		l.normal(scoreWeight, 1/math.Sqrt(float64(width+1)), width, 1)
		return
	}
	l.constant(scoreWeight, 1, 1)
	l.constant(scoreBias, s.Bias, 1)
}

// Scores are the numbers that the score head gives to states (..., C): (N, 1), one for each row.
func (m *Model) Scores(g *graph.Graph, states *graph.Node) *graph.Node {
	rows := g.Reshape(states, states.Desc().Rows(), states.Dim(-1))
	return op.Linear(g, rows, m.p(g, scoreWeight), nil, op.LinearOptions{Exact: true})
}

// ScoresAt are the scores of chosen rows of the states, int32 (K) by their numbers: (K, 1).
func (m *Model) ScoresAt(g *graph.Graph, states, rows *graph.Node) *graph.Node {
	all := g.Reshape(states, states.Desc().Rows(), states.Dim(-1))
	return m.Scores(g, op.GatherRows(g, all, rows))
}

// LikelihoodScore are weight and bias of a head that reads log-probabilities, (1) each.
func (m *Model) LikelihoodScore(g *graph.Graph) (weight, bias *graph.Node) {
	return m.p(g, scoreWeight), m.p(g, scoreBias)
}
