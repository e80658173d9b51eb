package activities

import (
	"fmt"
	"strings"
)

// resultsTable is results.md of a comparison: for each metric the mean of every arm
// over its seeds, and what is ahead of it by how much.
func resultsTable(p compareParams, values map[string]measures, gaps []Gap) string {
	var arms []row
	for i, label := range p.Labels {
		arms = appendNew(arms, row{label, p.Steps[i], 0})
	}
	var tables []string
	for _, metric := range p.metrics() {
		lines := [][]string{{"arm", "steps", metric, "ahead of it"}}
		for _, arm := range arms {
			mean, ok := values[metric].mean(p, arm)
			if !ok {
				continue // its evaluation does not have the metric
			}
			lines = append(lines, []string{arm.label, fmt.Sprint(arm.steps), fmt.Sprintf("%.1f", mean), aheadOf(arm, metric, gaps)})
		}
		tables = append(tables, markdownTable(lines))
	}
	return strings.Join(tables, "\n")
}

// mean is that of an arm over the seeds that have it, summed in the order of the
// rows.
func (m measures) mean(p compareParams, arm row) (mean float64, ok bool) {
	n := 0
	for i, label := range p.Labels {
		if v, has := m[row{label, p.Steps[i], p.Seeds[i]}]; has && label == arm.label && p.Steps[i] == arm.steps {
			mean += v
			n++
		}
	}
	return mean / float64(max(1, n)), n > 0
}

// aheadOf tells by how much other arms are ahead of one.
func aheadOf(arm row, metric string, gaps []Gap) string {
	var parts []string
	for _, g := range gaps {
		if g.Baseline != arm.label || g.Steps != arm.steps || g.Metric != metric {
			continue
		}
		r := g.Result
		text := fmt.Sprintf("%s %+.1f", g.Method, r.Gap.Mean)
		if n := len(r.Gaps); n > 1 {
			text += fmt.Sprintf(" [%.1f, %.1f], in %d of %d seeds", r.Gap.Low, r.Gap.High, r.Positive, n)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, "; ")
}

// markdownTable aligns its columns, so that it can be read as plain text too.
// The first line is the header.
func markdownTable(lines [][]string) string {
	width := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, text := range line {
			width[i] = max(width[i], len([]rune(text)))
		}
	}
	var b strings.Builder
	write := func(line []string, pad string) {
		for i, text := range line {
			fmt.Fprintf(&b, "| %s%s ", text, strings.Repeat(pad, width[i]-len([]rune(text))))
		}
		b.WriteString("|\n")
	}
	write(lines[0], " ")
	write(make([]string, len(width)), "-")
	for _, line := range lines[1:] {
		write(line, " ")
	}
	return b.String()
}
