package report

import (
	"fmt"
	"math"
	"strings"
)

// Timeline shows when the parts of a run were at work.
type Timeline struct {
	Title string
	Spans []Span // a row each, in the order to show them
}

// Span is one row, in seconds from the run's start.
type Span struct {
	Name       string
	Start, End float64
	Note       string // e.g. "cached", "2 attempts"
	Tone       Tone
}

type spanView struct {
	Name, Text, Title  string
	Tone               Tone
	X, Y, Width, TextY string
	LabelX, LabelY     string
}

const (
	spanHeight = 24
	spanBar    = 14
	spanLeft   = 168
	spanWidth  = 900
	spanRight  = 120
)

func (t Timeline) view() (string, any, error) {
	var end float64
	for _, s := range t.Spans {
		if math.IsNaN(s.Start+s.End) || s.Start < 0 || s.End < s.Start || math.IsInf(s.End, 0) {
			return "", nil, fmt.Errorf("timeline %q: %q runs from %g to %g s", t.Title, s.Name, s.Start, s.End)
		}
		end = max(end, s.End)
	}
	if end == 0 {
		return "empty", t.Title, nil
	}
	x := timeAxis(end).span(spanLeft, spanWidth-spanRight)
	height := marginTop + spanHeight*len(t.Spans) + 26
	v := struct {
		chart
		Spans []spanView
	}{chart: plane(t.Title, x, axis{})}
	v.Width, v.Height, v.Base = spanWidth, height, pixel(float64(height-26))
	v.Left, v.Right = pixel(spanLeft), pixel(spanWidth-spanRight)
	for i, s := range t.Spans {
		y := float64(marginTop + spanHeight*i)
		from, to := x.pixel(s.Start), x.pixel(s.End)
		text := Duration(s.End - s.Start)
		if s.Note != "" {
			text += ", " + s.Note
		}
		tone := s.Tone
		if tone == "" {
			tone = Neutral
		}
		v.Spans = append(v.Spans, spanView{
			Name: shorten(s.Name), Text: text, Title: s.Name + ": " + text, Tone: tone,
			X: pixel(from), Y: pixel(y + (spanHeight-spanBar)/2), Width: pixel(max(2, to-from)), TextY: pixel(y + spanHeight/2 + 4),
			LabelX: pixel(max(to, from+2) + 6), LabelY: pixel(y + spanHeight/2 + 4),
		})
	}
	return "timeline", v, nil
}

// timeAxis has round numbers of seconds, minutes or hours.
func timeAxis(end float64) axis {
	units := []struct {
		seconds float64
		name    string
	}{{1, " s"}, {60, " min"}, {3600, " h"}}
	u := units[0]
	for _, larger := range units[1:] {
		if end >= 2*larger.seconds {
			u = larger
		}
	}
	a := linear(0, end/u.seconds, 6)
	a.high *= u.seconds
	for i := range a.ticks {
		a.ticks[i].value *= u.seconds
		a.ticks[i].Label = strings.TrimSpace(a.ticks[i].Label) + u.name
	}
	return a
}
