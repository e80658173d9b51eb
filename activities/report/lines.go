package report

import (
	"fmt"
	"math"
	"strings"
)

// Lines is a chart of curves over a common axis, e.g. the losses of a training.
type Lines struct {
	Title  string
	X, Y   string // the axes' labels with their units
	LogY   bool   // values that are not positive are left out
	Series []Series
}

// Series is one curve. Points that are no numbers break it.
type Series struct {
	Name string
	X, Y []float64
}

// chart is the plane that lines and ticks are drawn on, in pixels of a view box.
type chart struct {
	Title, Label           string
	Width, Height          int
	Left, Right, Top, Base string // edges of the plot
	MiddleX, MiddleY       string
	XTicks, YTicks         []tick
	X, Y                   string
}

type lineView struct {
	Name  string
	Class string
	Path  string
	Dots  []dot // points that have no neighbour
}

type dot struct{ X, Y, Title string }

// MaxSeries is how many curves of a chart can still be told apart.
const MaxSeries = 8

// Sizes of charts, in pixels of their view boxes.
const (
	chartWidth, chartHeight = 560, 300
	marginLeft, marginRight = 62, 16
	marginTop, marginBase   = 14, 46
	buckets                 = 400 // of a curve: more points do not show
)

func (l Lines) view() (string, any, error) {
	if len(l.Series) > MaxSeries {
		return "", nil, fmt.Errorf("chart %q: %d curves: want at most %d, or several charts", l.Title, len(l.Series), MaxSeries)
	}
	lowX, highX, lowY, highY := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, s := range l.Series {
		if len(s.X) != len(s.Y) {
			return "", nil, fmt.Errorf("chart %q: curve %q has %d x and %d y", l.Title, s.Name, len(s.X), len(s.Y))
		}
		for i := range s.X {
			if l.shown(s, i) {
				lowX, highX = min(lowX, s.X[i]), max(highX, s.X[i])
				lowY, highY = min(lowY, s.Y[i]), max(highY, s.Y[i])
			}
		}
	}
	if lowX > highX {
		return "empty", l.Title, nil
	}
	x := linear(lowX, highX, 6)
	y := linear(lowY, highY, 5)
	if l.LogY {
		y = logarithmic(lowY, highY)
	}
	x = x.span(marginLeft, chartWidth-marginRight)
	y = y.span(chartHeight-marginBase, marginTop)
	v := struct {
		chart
		Lines []lineView
	}{chart: plane(l.Title, x, y)}
	v.X, v.Y = l.X, l.Y
	for i, s := range l.Series {
		v.Lines = append(v.Lines, l.curve(s, i, x, y))
	}
	return "lines", v, nil
}

func plane(title string, x, y axis) chart {
	return chart{
		Title: title, Label: title, Width: chartWidth, Height: chartHeight,
		Left: pixel(marginLeft), Right: pixel(chartWidth - marginRight), Top: pixel(marginTop), Base: pixel(chartHeight - marginBase),
		MiddleX: pixel((marginLeft + chartWidth - marginRight) / 2), MiddleY: pixel((marginTop + chartHeight - marginBase) / 2),
		XTicks: x.ticks, YTicks: y.ticks,
	}
}

func (l Lines) shown(s Series, i int) bool {
	x, y := s.X[i], s.Y[i]
	return !math.IsNaN(x+y) && !math.IsInf(x, 0) && !math.IsInf(y, 0) && (!l.LogY || y > 0)
}

// curve draws a series. Of many points it keeps the first, the lowest, the
// highest and the last in each bucket, so that spikes stay visible.
func (l Lines) curve(s Series, n int, x, y axis) lineView {
	v := lineView{Name: s.Name, Class: fmt.Sprintf("c%d", n%MaxSeries)}
	var path strings.Builder
	for _, run := range l.runs(s) {
		if len(run) == 1 {
			i := run[0]
			v.Dots = append(v.Dots, dot{pixel(x.pixel(s.X[i])), pixel(y.pixel(s.Y[i])), fmt.Sprintf("%s: %g, %g", s.Name, s.X[i], s.Y[i])})
			continue
		}
		for k, i := range thin(run, s.Y) {
			command := "L"
			if k == 0 {
				command = "M"
			}
			fmt.Fprintf(&path, "%s%s %s", command, pixel(x.pixel(s.X[i])), pixel(y.pixel(s.Y[i])))
		}
	}
	v.Path = path.String()
	return v
}

// runs returns the indices of points that belong together.
func (l Lines) runs(s Series) [][]int {
	var all [][]int
	open := false
	for i := range s.X {
		if !l.shown(s, i) {
			open = false
			continue
		}
		if !open {
			all = append(all, nil)
			open = true
		}
		all[len(all)-1] = append(all[len(all)-1], i)
	}
	return all
}

func thin(run []int, y []float64) []int {
	if len(run) <= 4*buckets {
		return run
	}
	var kept []int
	for b := range buckets {
		part := run[len(run)*b/buckets : len(run)*(b+1)/buckets]
		low, high := part[0], part[0]
		for _, i := range part {
			if y[i] < y[low] {
				low = i
			}
			if y[i] > y[high] {
				high = i
			}
		}
		for _, i := range []int{part[0], min(low, high), max(low, high), part[len(part)-1]} {
			if len(kept) == 0 || kept[len(kept)-1] < i {
				kept = append(kept, i)
			}
		}
	}
	return kept
}
