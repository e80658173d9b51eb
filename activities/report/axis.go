package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// axis maps values to pixels.
type axis struct {
	low, high float64 // values at from and to
	from, to  float64 // pixels
	log       bool
	ticks     []tick
}

type tick struct {
	At    string // pixels, once the axis has its span
	Label string
	value float64
}

func (a axis) pixel(v float64) float64 {
	low, high := a.low, a.high
	if a.log {
		low, high, v = math.Log10(low), math.Log10(high), math.Log10(v)
	}
	return a.from + (v-low)/(high-low)*(a.to-a.from)
}

// linear returns an axis over [low, high], moved out to round numbers, with
// about n ticks.
func linear(low, high float64, n int) axis {
	if low == high {
		margin := max(math.Abs(low)*0.05, 1e-9)
		low, high = low-margin, high+margin
	}
	step := niceStep((high - low) / float64(n))
	a := axis{low: math.Floor(low/step+1e-9) * step, high: math.Ceil(high/step-1e-9) * step}
	if a.high <= a.low {
		a.high = a.low + step
	}
	for k := 0; k <= int(math.Round((a.high-a.low)/step)); k++ {
		v := a.low + float64(k)*step
		a.ticks = append(a.ticks, tick{Label: tickLabel(v, step), value: v})
	}
	return a
}

// niceStep returns the smallest of 1, 2, 2.5, 5 times a power of ten that is at
// least x.
func niceStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if x <= m*power*(1+1e-9) {
			return m * power
		}
	}
	return 10 * power
}

// logarithmic returns an axis of decades over positive values.
func logarithmic(low, high float64) axis {
	a := axis{low: low, high: high, log: true}
	if a.high/a.low < 1.1 {
		a.low, a.high = a.low/2, a.high*2
	}
	marks := []float64{1, 2, 5}
	if a.high/a.low > 300 {
		marks = marks[:1]
	}
	for e := math.Floor(math.Log10(a.low)); e <= math.Ceil(math.Log10(a.high)); e++ {
		for _, m := range marks {
			v := m * math.Pow(10, e)
			if v >= a.low*(1-1e-9) && v <= a.high*(1+1e-9) {
				a.ticks = append(a.ticks, tick{Label: logLabel(v), value: v})
			}
		}
	}
	return a
}

// logLabel prints 0.01 to 9999 plainly and the rest as powers of ten.
func logLabel(v float64) string {
	if v >= 0.0099 && v < 9999 {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	e := math.Floor(math.Log10(v) + 1e-9)
	return fmt.Sprintf("%.0fe%d", v/math.Pow(10, e), int(e))
}

// span places the axis between two pixels, and its ticks with it.
func (a axis) span(from, to float64) axis {
	a.from, a.to = from, to
	placed := make([]tick, len(a.ticks))
	for i, t := range a.ticks {
		placed[i] = tick{At: pixel(a.pixel(t.value)), Label: t.Label, value: t.value}
	}
	a.ticks = placed
	return a
}

// tickLabel prints a tick with the digits that its step needs.
func tickLabel(v, step float64) string {
	if math.Abs(v) < step/1e6 {
		return "0"
	}
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= 10*u.size || step >= u.size {
			return decimal(v/u.size, places(step/u.size)) + u.name
		}
	}
	return decimal(v, places(step))
}

// places is how many decimals tell multiples of step apart.
func places(step float64) int {
	for p := range 9 {
		scaled := step * math.Pow(10, float64(p))
		if math.Abs(scaled-math.Round(scaled)) < 1e-6 {
			return p
		}
	}
	return 9
}

// pixel prints a coordinate; a hundredth is finer than any screen.
func pixel(v float64) string {
	s := strconv.FormatFloat(v, 'f', 2, 64)
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

// Duration prints seconds for people.
func Duration(seconds float64) string {
	switch {
	case seconds < 9.95:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 119.5:
		return fmt.Sprintf("%.0f s", seconds)
	case seconds < 7199.5:
		s := int(math.Round(seconds))
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	}
	m := int(math.Round(seconds / 60))
	return fmt.Sprintf("%d h %02d min", m/60, m%60)
}
