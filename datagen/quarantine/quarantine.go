// Package quarantine leaves unusable items out of a stream, counts them, and
// says when there are too many.
package quarantine

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"tempera/datagen/sample"
)

// listed bounds how many items are kept by name; the rest is only counted.
const listed = 200

// ErrTooMany says that a data set has more unusable items than it may have, or
// nothing else. Trying again cannot help.
var ErrTooMany = errors.New("too many items are unusable")

// Budget is how many items may be unusable.
type Budget struct {
	count    int
	fraction float64 // of all items; used where percent is set
	percent  bool
}

// ParseBudget reads "1%", "0.5%" or a number of items.
func ParseBudget(s string) (Budget, error) {
	if p, ok := strings.CutSuffix(s, "%"); ok {
		v, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(v >= 0 && v <= 100) {
			return Budget{}, fmt.Errorf("%q: use a percentage from 0%% to 100%%", s)
		}
		return Budget{fraction: v / 100, percent: true}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return Budget{}, fmt.Errorf("%q: use a number of items, such as 3, or a percentage, such as 1%%", s)
	}
	return Budget{count: n}, nil
}

func (b Budget) allows(bad, all int) bool {
	if b.percent {
		return float64(bad) <= b.fraction*float64(all)
	}
	return bad <= b.count
}

func (b Budget) String() string {
	if b.percent {
		return strconv.FormatFloat(b.fraction*100, 'g', 6, 64) + "%"
	}
	return strconv.Itoa(b.count)
}

// Item is something that was left out, and why.
type Item struct{ Name, Reason string }

// Tray holds what was left out.
type Tray struct {
	Good    int
	Bad     int
	Reasons map[string]int
	Items   []Item // the first ones
}

// Add puts one fault into the tray.
func (t *Tray) Add(f *sample.Fault) {
	t.Bad++
	if t.Reasons == nil {
		t.Reasons = map[string]int{}
	}
	t.Reasons[f.Reason]++
	if len(t.Items) < listed {
		t.Items = append(t.Items, Item{clip(f.Item), clip(f.Why())})
	}
}

// clip keeps one hostile message from filling a workflow's payload.
func clip(s string) string {
	if len(s) > 200 {
		return strings.ToValidUTF8(s[:197], "") + "..."
	}
	return s
}

// Check fails where the tray holds more than the budget, and where there were
// items and all are unusable. It is for the end of the stream.
func (t *Tray) Check(b Budget) error {
	all := t.Good + t.Bad
	switch {
	case t.Bad == 0 || t.Good > 0 && b.allows(t.Bad, all):
		return nil
	case t.Good == 0:
		return fmt.Errorf("%w: all %d: %s", ErrTooMany, all, t.Summary())
	}
	return fmt.Errorf("%w: %d of %d, and max_bad is %s: %s", ErrTooMany, t.Bad, all, b, t.Summary())
}

// named is how many items a summary names.
const named = 5

// Summary counts the reasons and names the first five items. Where all have the
// same plain reason it is said once.
func (t *Tray) Summary() string {
	var parts []string
	for reason, n := range t.Reasons {
		parts = append(parts, fmt.Sprintf("%d x %s", n, reason))
	}
	slices.Sort(parts)
	var items []string
	for _, item := range t.Items[:min(named, len(t.Items))] {
		if len(t.Reasons) > 1 || t.Reasons[item.Reason] == 0 {
			item.Name += ": " + item.Reason
		}
		items = append(items, item.Name)
	}
	if t.Bad > named {
		items = append(items, "...")
	}
	return strings.Join(parts, ", ") + " (" + strings.Join(items, "; ") + ")"
}

// Filter yields the usable samples of a stream and puts its faults into the
// tray. Other errors go through and end the stream.
func (t *Tray) Filter(in sample.Stream) sample.Stream { return Filter(t, in) }

// Filter is Tray.Filter for items of any type.
func Filter[T any](t *Tray, in iter.Seq2[T, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for s, err := range in {
			// Not errors.As: a fatal error may have a fault as its cause.
			if fault, ok := err.(*sample.Fault); ok { //nolint:errorlint // the type itself is the protocol
				t.Add(fault)
				continue
			}
			if err == nil {
				t.Good++
			}
			if !yield(s, err) || err != nil {
				return
			}
		}
	}
}
