package report

import (
	"fmt"
	"math"
	"strconv"
)

// Best says which value of a column is marked.
type Best int

// The directions.
const (
	NoBest Best = iota
	Highest
	Lowest
)

// Column is a column of a table.
type Column struct {
	Name     string
	Unit     string // under the name, e.g. "%"
	Best     Best
	Decimals int // of numbers
}

// Table compares rows. The best number of each column is marked; equal ones,
// as printed, share the mark.
type Table struct {
	Caption string
	Columns []Column // the first is the rows' name
	Rows    []Row
}

// Row is a line of a table.
type Row struct {
	Name  string
	Note  string // under the name, small
	Cells []Cell // one for each column after the first
}

// Cell is a number, with its confidence interval where Low < High, or a text.
type Cell struct {
	Text      string
	Number    bool
	Value     float64
	Low, High float64
}

// Text is a cell that is no number.
func Text(s string) Cell { return Cell{Text: s} }

// Number is a cell without an interval.
func Number(v float64) Cell { return Cell{Number: true, Value: v} }

// Between is a number with its confidence interval.
func Between(v, low, high float64) Cell { return Cell{Number: true, Value: v, Low: low, High: high} }

type cellView struct {
	Text, Interval string
	Number, Best   bool
}

type rowView struct {
	Name, Note string
	Cells      []cellView
}

func (t Table) view() (string, any, error) {
	rows := make([]rowView, len(t.Rows))
	for i, r := range t.Rows {
		if len(t.Columns) == 0 || len(r.Cells) != len(t.Columns)-1 {
			return "", nil, fmt.Errorf("table %q: row %q has %d cells for %d columns", t.Caption, r.Name, len(r.Cells), len(t.Columns))
		}
		rows[i] = rowView{Name: r.Name, Note: r.Note}
		for j, c := range r.Cells {
			rows[i].Cells = append(rows[i].Cells, c.view(t.Columns[j+1]))
		}
	}
	for j, column := range t.Columns {
		if j > 0 && column.Best != NoBest {
			t.mark(rows, j-1)
		}
	}
	return "table", struct {
		Caption string
		Columns []Column
		Rows    []rowView
	}{t.Caption, t.Columns, rows}, nil
}

func (c Cell) view(column Column) cellView {
	if !c.Number {
		return cellView{Text: c.Text}
	}
	v := cellView{Text: decimal(c.Value, column.Decimals), Number: true}
	if c.Low < c.High {
		v.Interval = decimal(c.Low, column.Decimals) + " to " + decimal(c.High, column.Decimals)
	}
	return v
}

// mark marks the best of a column of cells, unless all are equal.
func (t Table) mark(rows []rowView, j int) {
	sign := 1.0
	if t.Columns[j+1].Best == Lowest {
		sign = -1
	}
	best, worst := math.Inf(-1), math.Inf(1)
	for _, r := range t.Rows {
		if c := r.Cells[j]; c.Number && !math.IsNaN(c.Value) {
			best, worst = max(best, sign*c.Value), min(worst, sign*c.Value)
		}
	}
	text := decimal(sign*best, t.Columns[j+1].Decimals)
	if text == decimal(sign*worst, t.Columns[j+1].Decimals) {
		return
	}
	for i := range rows {
		rows[i].Cells[j].Best = rows[i].Cells[j].Number && rows[i].Cells[j].Text == text
	}
}

// decimal prints a number with a true minus sign; what is no number is a dash.
func decimal(v float64, decimals int) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "–"
	}
	s := strconv.FormatFloat(math.Abs(v), 'f', decimals, 64)
	if v < 0 && s != strconv.FormatFloat(0, 'f', decimals, 64) {
		return "−" + s
	}
	return s
}
