package score

import (
	"fmt"
	"maps"
	"slices"
)

// PassAtK is the chance that at least one of k tries solves a problem of which c of n tries were right, without the bias of looking at the first k of
// them: 1 - C(n-c, k) / C(n, k) (Chen et al. 2021, equation 1).
func PassAtK(n, c, k int) (float64, error) {
	if k < 1 || k > n || c < 0 || c > n {
		return 0, fmt.Errorf("pass@%d of %d tries with %d right: want 1 to %[2]d", k, n, c)
	}
	if n-c < k {
		return 1, nil
	}
	miss := 1.0
	for i := n - c + 1; i <= n; i++ {
		miss *= 1 - float64(k)/float64(i)
	}
	return 1 - miss, nil
}

// Vote is a try's answer with the weight of its vote. An empty answer is no vote.
type Vote struct {
	Answer string
	Weight float64
}

// Majority is the answer with the most weight; of equal ones the one that came first. It is empty where there is no vote.
func Majority(votes []Vote) string {
	sums := map[string]float64{}
	var order []string
	for _, v := range votes {
		if v.Answer == "" {
			continue
		}
		if _, seen := sums[v.Answer]; !seen {
			order = append(order, v.Answer)
		}
		sums[v.Answer] += v.Weight
	}
	best := ""
	for _, a := range order {
		if best == "" || sums[a] > sums[best] {
			best = a
		}
	}
	return best
}

// Slice is a row of a table: what was measured on one part of the data.
type Slice struct {
	Name string `json:"name"`
	Interval
}

// Slices are the means of the values of each name, in the order of the names. Values without a name are left out.
func Slices(names []string, values []float64, b Bootstrap) ([]Slice, error) {
	if len(names) != len(values) {
		return nil, fmt.Errorf("%d names for %d values: want one each", len(names), len(values))
	}
	parts := map[string][]float64{}
	for i, name := range names {
		if name != "" {
			parts[name] = append(parts[name], values[i])
		}
	}
	var rows []Slice
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		rows = append(rows, Slice{name, b.Mean(parts[name])})
	}
	return rows, nil
}
