package report

import (
	"fmt"
	"math"
)

// Arms is a chart that compares the arms of an experiment: a mean with its
// interval and a dot for each run (seed).
type Arms struct {
	Title    string
	X        string // the axis's label with its unit
	Decimals int
	FromZero bool    // bars from 0; otherwise the axis covers the values only
	Baseline *string // the arm whose mean a line runs through
	Arms     []Arm
}

// Arm is one row of the chart.
type Arm struct {
	Name            string
	Mean, Low, High float64 // an interval where Low < High
	Runs            []float64
}

type armView struct {
	Name, Value, Title  string
	Class               string
	Y, Text, BarY, BarX string
	BarWidth            string
	Mean, Low, High     string
	LowTop, LowBase     string
	Interval, Bar       bool
	Runs                []dot
}

const (
	armHeight = 34
	armLeft   = 168
	armRight  = 74
	armBar    = 16
)

func (a Arms) view() (string, any, error) {
	low, high := math.Inf(1), math.Inf(-1)
	for _, arm := range a.Arms {
		values := append([]float64{arm.Mean}, arm.Runs...)
		if arm.Low < arm.High {
			values = append(values, arm.Low, arm.High)
		}
		for _, v := range values {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return "", nil, fmt.Errorf("chart %q: arm %q has a value that is no number", a.Title, arm.Name)
			}
			low, high = min(low, v), max(high, v)
		}
	}
	if len(a.Arms) == 0 {
		return "empty", a.Title, nil
	}
	if a.FromZero {
		low, high = min(low, 0), max(high, 0)
	}
	x := linear(low, high, 6).span(armLeft, chartWidth-armRight)
	height := marginTop + armHeight*len(a.Arms) + marginBase
	v := struct {
		chart
		Arms     []armView
		Baseline string
	}{chart: plane(a.Title, x, axis{})}
	v.Height, v.X = height, a.X
	v.Left, v.Right, v.Base = pixel(armLeft), pixel(chartWidth-armRight), pixel(float64(height-marginBase))
	v.MiddleX = pixel((armLeft + chartWidth - armRight) / 2)
	for i, arm := range a.Arms {
		v.Arms = append(v.Arms, a.row(arm, i, x))
		if a.Baseline != nil && *a.Baseline == arm.Name {
			v.Baseline = pixel(x.pixel(arm.Mean))
		}
	}
	return "arms", v, nil
}

func (a Arms) row(arm Arm, i int, x axis) armView {
	y := float64(marginTop + armHeight*i + armHeight/2)
	v := armView{
		Name: shorten(arm.Name), Value: decimal(arm.Mean, a.Decimals), Class: fmt.Sprintf("c%d", i%MaxSeries),
		Y: pixel(y), Text: pixel(y + 4), Mean: pixel(x.pixel(arm.Mean)),
		Bar: a.FromZero, BarY: pixel(y - armBar/2),
	}
	v.Title = arm.Name + ": " + v.Value
	if a.FromZero {
		zero, mean := x.pixel(0), x.pixel(arm.Mean)
		v.BarX, v.BarWidth = pixel(min(zero, mean)), pixel(math.Abs(mean-zero))
	}
	if arm.Low < arm.High {
		v.Interval = true
		v.Low, v.High = pixel(x.pixel(arm.Low)), pixel(x.pixel(arm.High))
		v.LowTop, v.LowBase = pixel(y-5), pixel(y+5)
		v.Title += fmt.Sprintf(" (%s to %s)", decimal(arm.Low, a.Decimals), decimal(arm.High, a.Decimals))
	}
	for k, run := range arm.Runs {
		// Equal runs must not hide each other: they are spread over three rows.
		v.Runs = append(v.Runs, dot{pixel(x.pixel(run)), pixel(y + float64(k%3-1)*4), decimal(run, a.Decimals)})
	}
	return v
}
