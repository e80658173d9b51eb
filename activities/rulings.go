package activities

import (
	"math"

	"tempera/datagen/example"
	"tempera/training/objective"
	"tempera/training/policy"
	"tempera/training/score"
)

// ruling is how a reward model judged a pair.
type ruling struct {
	difference float64 // of the scores, chosen less rejected
	longer     float64 // tokens by which the chosen completion is longer
	truth      float64 // the row's margin: the true difference, negative where the label is wrong; 0: it is not known
}

// rulings are those on a data set.
type rulings []ruling

// rulingsOf reads them off the scores of pairs.
func rulingsOf(v objective.SpanValues, from []*example.Example) rulings {
	var out rulings
	for s := 0; s+1 < len(v.Values); s += 2 {
		out = append(out, ruling{v.Values[s] - v.Values[s+1], float64(v.Tokens[s] - v.Tokens[s+1]), from[s/2].Margin})
	}
	return out
}

// right is 1 where the score agrees with the label, and a half where it says
// nothing.
func (v ruling) right() float64 { return agree(v.difference, 1) }

// truly is the same of the row's margin; known is false where it has none.
func (v ruling) truly() (right float64, known bool) {
	return agree(v.difference, v.truth), v.truth != 0
}

func agree(a, b float64) float64 {
	switch {
	case a == 0:
		return 0.5
	case a > 0 == (b > 0):
		return 1
	}
	return 0
}

// calibration compares how sure the model is of the completion that it prefers with
// how often that is the chosen one.
func (v rulings) calibration() (score.Calibration, error) {
	const bins = 10
	var sure []float64
	var right []bool
	for _, x := range v {
		sure, right = append(sure, policy.Sigmoid(math.Abs(x.difference))), append(right, x.difference >= 0)
	}
	return score.Calibrate(sure, right, bins)
}

// lengthBias is the correlation of the difference of the scores with that of the
// lengths, and the same of the labels: how often the longer completion is the
// chosen one, where they differ.
func (v rulings) lengthBias() (correlation, longerChosen float64) {
	var scores, lengths []float64
	longer, n := 0.0, 0.0
	for _, x := range v {
		scores, lengths = append(scores, x.difference), append(lengths, x.longer)
		if x.longer != 0 {
			n++
			if x.longer > 0 {
				longer++
			}
		}
	}
	return correlate(scores, lengths), longer / max(1, n)
}

// correlate is Pearson's coefficient; 0 where one of the two does not vary.
func correlate(a, b []float64) float64 {
	n := float64(len(a))
	var ma, mb float64
	for i := range a {
		ma, mb = ma+a[i]/n, mb+b[i]/n
	}
	var ab, aa, bb float64
	for i := range a {
		x, y := a[i]-ma, b[i]-mb
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// summary is the numbers of a data set that a training watches.
func (v rulings) summary() map[string]float64 {
	out := map[string]float64{}
	right, n := 0.0, 0.0
	for _, x := range v {
		if r, known := x.truly(); known {
			right, n = right+r, n+1
		}
	}
	if n > 0 {
		out["true_accuracy"] = right / n
	}
	if c, err := v.calibration(); err == nil {
		out["calibration_error"] = c.Error
	}
	out["length_bias"], _ = v.lengthBias()
	return out
}
