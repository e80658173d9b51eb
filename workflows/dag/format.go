package dag

import (
	"fmt"
	"strconv"
)

// formatNumber writes a metric for people: whole numbers in full, others to
// four significant digits.
func formatNumber(x float64) string {
	if x == float64(int64(x)) && x > -1e15 && x < 1e15 {
		return strconv.FormatInt(int64(x), 10)
	}
	return strconv.FormatFloat(x, 'g', 4, 64)
}

// formatSeconds writes a duration for people: 0.8 s, 42 s, 3 min 20 s, 2 h 5 min.
func formatSeconds(s float64) string {
	switch {
	case s < 9.95:
		return fmt.Sprintf("%.1f s", s)
	case s < 59.5:
		return fmt.Sprintf("%.0f s", s)
	case s < 3600:
		t := int(s + 0.5)
		return fmt.Sprintf("%d min %d s", t/60, t%60)
	}
	t := int(s/60 + 0.5)
	return fmt.Sprintf("%d h %d min", t/60, t%60)
}
