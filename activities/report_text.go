package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"

	"tempera/activities/report"
	"tempera/training/score"
)

// samplesSection shows what language models wrote.
func samplesSection(ctx context.Context, t *Task, p reportParams) (*report.Section, error) {
	s := &report.Section{Title: "Samples", Text: "What the models write, from a prompt or from nothing. A text that ends in ... was cut off."}
	for i, a := range t.Inputs["evaluations"] {
		data, err := samplesOf(ctx, t, a)
		if err != nil {
			return nil, err
		}
		if data == nil || !p.first(i) {
			continue
		}
		answers, err := answerTable(p.Labels[i], data)
		if err != nil {
			return nil, Invalid(fmt.Errorf("%s of %s: %w", samplesFile, a.Digest, err))
		}
		if answers != nil {
			s.Blocks = append(s.Blocks, *answers)
			continue
		}
		table := report.Table{Caption: p.Labels[i], Columns: []report.Column{{Name: "Prompt"}, {Name: "Text"}}}
		for line := range bytes.Lines(data) {
			var w writtenText
			if err := json.Unmarshal(line, &w); err != nil {
				return nil, Invalid(fmt.Errorf("%s of %s: %w", samplesFile, a.Digest, err))
			}
			if !w.Ended {
				w.Text += " ..."
			}
			table.Rows = append(table.Rows, report.Row{Name: w.Prompt, Cells: []report.Cell{report.Text(w.Text)}})
		}
		s.Blocks = append(s.Blocks, table)
	}
	if len(s.Blocks) == 0 {
		return nil, nil
	}
	return s, nil
}

// scalingSection draws the fitted curve of loss over size.
func scalingSection(ctx context.Context, t *Task, _ reportParams) (*report.Section, error) {
	a, ok := t.Input("scaling")
	if !ok {
		return nil, nil
	}
	var c score.Scaling
	if err := readJSONFile(ctx, t.Store, a, jsonFile{scalingFile, &c}); err != nil {
		return nil, err
	}
	s := &report.Section{Title: "Scaling", Text: fmt.Sprintf("Least squares of L = E + A (N/N0)^-alpha%s, N parameters, N0 = %.3g%s. The intervals, of 95 %%, hold the noise of the evaluation only; the curve is a guess beyond its points.",
		map[bool]string{true: " + B (D/D0)^-beta"}[c.Data != nil], c.MeanN, map[bool]string{true: fmt.Sprintf(", D tokens, D0 = %.3g", c.MeanD)}[c.Data != nil])}
	s.Blocks = append(s.Blocks, scalingTable(c), scalingChart(&c))
	return s, nil
}

func scalingTable(c score.Scaling) report.Table {
	t := report.Table{Columns: []report.Column{{Name: "Fitted"}, {Name: "Value", Decimals: 4}}}
	add := func(name string, i *score.Interval) {
		if i != nil {
			t.Rows = append(t.Rows, report.Row{Name: name, Cells: []report.Cell{report.Between(i.Mean, i.Low, i.High)}})
		}
	}
	add("E, the floor", &c.Floor)
	add("A, at N0", &c.Size)
	add("alpha", &c.Alpha)
	add("B, at D0", c.Data)
	add("beta", c.Beta)
	t.Rows = append(t.Rows, report.Row{Name: "largest distance of a point", Cells: []report.Cell{report.Number(c.Worst)}})
	return t
}

// scalingChart draws, for each number of tokens, the points and the curve up to
// four times the largest size.
func scalingChart(c *score.Scaling) report.Lines {
	l := report.Lines{Title: "Loss over size", X: "log10 of parameters", Y: "loss"}
	byTokens := map[float64][]score.ScalingPoint{}
	var order []float64
	least, most := math.Inf(1), 0.0
	for _, p := range c.Points {
		if byTokens[p.Tokens] == nil {
			order = append(order, p.Tokens)
		}
		byTokens[p.Tokens] = append(byTokens[p.Tokens], p)
		least, most = min(least, p.Parameters), max(most, p.Parameters)
	}
	const steps = 40
	for _, d := range order {
		if len(l.Series)+2 > report.MaxSeries {
			break
		}
		fitted := report.Series{Name: fmt.Sprintf("fitted, %.3g tokens", d)}
		for i := range steps + 1 {
			x := math.Log10(least) + (math.Log10(4*most)-math.Log10(least))*float64(i)/steps
			fitted.X, fitted.Y = append(fitted.X, x), append(fitted.Y, c.At(math.Pow(10, x), d))
		}
		points := report.Series{Name: fmt.Sprintf("trained, %.3g tokens", d)}
		for _, p := range byTokens[d] { // a gap after each: points, not a line
			points.X, points.Y = append(points.X, math.Log10(p.Parameters), math.NaN()), append(points.Y, p.Loss, math.NaN())
		}
		l.Series = append(l.Series, fitted, points)
	}
	return l
}
