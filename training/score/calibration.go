package score

import (
	"fmt"
	"math"
)

// Calibration says whether a model is right as often as it believes.
type Calibration struct {
	Error float64          `json:"error"` // expected calibration error: mean distance of confidence and accuracy over the bins, by their sizes
	Worst float64          `json:"worst"` // largest of them
	Brier float64          `json:"brier"` // mean squared distance of confidence and outcome
	Bins  []CalibrationBin `json:"bins"`
}

// CalibrationBin is the items of like confidence. Empty bins are left out.
type CalibrationBin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	Confidence float64 `json:"confidence"` // mean
	Accuracy   float64 `json:"accuracy"`
	N          int     `json:"n"`
}

// Calibrate puts confidences, which are probabilities, into bins of equal width (Naeini et al. 2015; Guo et al. 2017).
func Calibrate(confidence []float64, right []bool, bins int) (Calibration, error) {
	if len(confidence) != len(right) || len(confidence) == 0 || bins < 1 {
		return Calibration{}, fmt.Errorf("calibrate: %d confidences, %d outcomes, %d bins: want as many outcomes, and bins", len(confidence), len(right), bins)
	}
	all := make([]CalibrationBin, bins)
	var c Calibration
	for i, p := range confidence {
		if !(p >= 0 && p <= 1) {
			return Calibration{}, fmt.Errorf("calibrate: confidence %d is %v: want a probability", i, p)
		}
		b, outcome := &all[min(int(p*float64(bins)), bins-1)], 0.0
		if right[i] {
			outcome = 1
		}
		b.N++
		b.Confidence += p
		b.Accuracy += outcome
		c.Brier += (p - outcome) * (p - outcome) / float64(len(confidence))
	}
	for i, b := range all {
		if b.N == 0 {
			continue
		}
		n := float64(b.N)
		b.Low, b.High, b.Confidence, b.Accuracy = float64(i)/float64(bins), float64(i+1)/float64(bins), b.Confidence/n, b.Accuracy/n
		gap := math.Abs(b.Confidence - b.Accuracy)
		c.Error += gap * n / float64(len(confidence))
		c.Worst = max(c.Worst, gap)
		c.Bins = append(c.Bins, b)
	}
	return c, nil
}
