package score

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// Filter is one decision of a filter and the truth about it.
type Filter struct {
	Score float64 // higher means a better pair
	Kept  bool
	Good  bool // the pair does belong together
}

// FilterQuality says how well a filter tells good pairs from bad ones. Figures
// that do not exist (no pair kept, no good pair) are 0; AUC is 0.5 where only
// one kind of pair was seen.
type FilterQuality struct {
	Pairs     int     `json:"pairs"`
	Good      int     `json:"good"`
	Kept      int     `json:"kept"`
	Precision float64 `json:"precision"` // share of kept pairs that are good
	Recall    float64 `json:"recall"`    // share of good pairs that are kept
	F1        float64 `json:"f1"`
	AUC       float64 `json:"auc"` // chance that a good pair scores above a bad one; ties count half
}

// JudgeFilter computes the quality of decisions. A score that is not a number
// is an error.
func JudgeFilter(decisions []Filter) (FilterQuality, error) {
	q := FilterQuality{Pairs: len(decisions)}
	right := 0
	for i, d := range decisions {
		if math.IsNaN(d.Score) {
			return FilterQuality{}, fmt.Errorf("the score of pair %d is not a number", i)
		}
		if d.Good {
			q.Good++
		}
		if d.Kept {
			q.Kept++
		}
		if d.Good && d.Kept {
			right++
		}
	}
	if right > 0 {
		q.Precision = float64(right) / float64(q.Kept)
		q.Recall = float64(right) / float64(q.Good)
		q.F1 = 2 * float64(right) / float64(q.Kept+q.Good)
	}
	q.AUC = auc(decisions, q.Good)
	return q, nil
}

// auc is the Mann-Whitney statistic over ranks, which ties share.
func auc(decisions []Filter, good int) float64 {
	bad := len(decisions) - good
	if good == 0 || bad == 0 {
		return 0.5
	}
	sorted := slices.Clone(decisions)
	slices.SortFunc(sorted, func(a, b Filter) int { return cmp.Compare(a.Score, b.Score) })
	var ranks float64 // of the good pairs
	for start := 0; start < len(sorted); {
		end, here := start, 0
		for ; end < len(sorted) && sorted[end].Score == sorted[start].Score; end++ {
			if sorted[end].Good {
				here++
			}
		}
		ranks += float64(here) * float64(start+end+1) / 2
		start = end
	}
	return (ranks - float64(good)*float64(good+1)/2) / (float64(good) * float64(bad))
}
