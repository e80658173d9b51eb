package dag

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tempera/workflows/stage"
)

// Duration is a time.Duration that JSON writes as text, e.g. "1m30s".
type Duration time.Duration

// MarshalText writes d as time.Duration does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Policy is how the activities of a stage are run: what the spec says about
// retry and resources, with every default filled in.
type Policy struct {
	Attempts int         `json:"attempts"`
	Interval Duration    `json:"interval"` // before the first retry; it doubles from there
	Timeout  Duration    `json:"timeout"`  // of one attempt
	Queue    stage.Queue `json:"queue"`
}

// What holds where neither the stage nor the defaults say otherwise.
const (
	DefaultAttempts = 10
	DefaultInterval = time.Second
	DefaultTimeout  = 24 * time.Hour
	DefaultParallel = 16
	DefaultWindow   = 8
	DefaultRepair   = 24 * time.Hour
)

// The ranges of what a spec may ask for.
const (
	maxStages   = 10_000
	maxAttempts = 1000
	maxParallel = 1000 // the server takes 2,000 pending children
	maxWindow   = 1000
	maxRepair   = 30 * 24 * time.Hour
)

// queues are the classes of worker there are.
var queues = []string{string(stage.CPU), string(stage.GPU)}

// policyOf merges what a stage, the defaults and its kind say, in this order. params are resolved.
func policyOf(s *Stage, defaults Defaults, kind stage.Descriptor, params json.RawMessage) Policy {
	p := Policy{
		Attempts: DefaultAttempts, Interval: Duration(DefaultInterval),
		Timeout: Duration(DefaultTimeout), Queue: kind.Queue,
	}
	for _, r := range []*Retry{defaults.Retry, s.Retry} {
		if r == nil {
			continue
		}
		if r.Attempts > 0 {
			p.Attempts = r.Attempts
		}
		if d, err := time.ParseDuration(r.Interval); err == nil {
			p.Interval = Duration(d)
		}
		if d, err := time.ParseDuration(r.Timeout); err == nil {
			p.Timeout = Duration(d)
		}
	}
	p.Queue = defaults.Resources.or(p.Queue)
	if wantsGPU(params, kind) {
		p.Queue = stage.GPU
	}
	p.Queue = s.Resources.or(p.Queue)
	return p
}

// or is the queue that r names, or q where it names none.
func (r *Resources) or(q stage.Queue) stage.Queue {
	if r == nil || r.Queue == "" {
		return q
	}
	return stage.Queue(r.Queue)
}

// wantsGPU tells whether a stage that may compute on a GPU asks for one.
func wantsGPU(params json.RawMessage, kind stage.Descriptor) bool {
	var p struct {
		Device string `json:"device"`
	}
	if err := json.Unmarshal(params, &p); err != nil { // what is wrong with the parameters is told elsewhere
		return false
	}
	return strings.HasPrefix(p.Device, "cuda") && kind.HasParameter(deviceParam)
}

// checkRetry finds what is wrong with a retry block; at names it.
func checkRetry(r *Retry, at string, fault func(check, format string, args ...any)) {
	if r == nil {
		return
	}
	if r.Attempts < 0 || r.Attempts > maxAttempts {
		fault(CheckRetry, "%s.attempts is %d: use 1 to %d, or leave it out for %d", at, r.Attempts, maxAttempts, DefaultAttempts)
	}
	checkDuration(r.Interval, bounds{at + ".interval", time.Millisecond, time.Hour}, CheckRetry, fault)
	checkDuration(r.Timeout, bounds{at + ".timeout", time.Second, maxRepair}, CheckRetry, fault)
}

type bounds struct {
	at       string
	min, max time.Duration
}

func checkDuration(s string, b bounds, check string, fault func(check, format string, args ...any)) {
	if s == "" {
		return
	}
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		fault(check, "%s: %q is no duration: write a number and a unit, e.g. 90s, 5m or 24h", b.at, s)
	case d < b.min || d > b.max:
		fault(check, "%s is %s: use %s to %s", b.at, s, b.min, b.max)
	}
}

func checkResources(r *Resources, at string, fault func(check, format string, args ...any)) {
	if r != nil && r.Queue != "" && !slices.Contains(queues, r.Queue) {
		fault(CheckQueue, "%s.queue: there is no queue %q: use %s", at, r.Queue, strings.Join(queues, " or "))
	}
}

// Budget is how many shards of a mapped stage may fail before the stage does.
type Budget struct {
	count   int
	percent float64
}

// ParseBudget reads "1%", "0.5%" or "3"; "" allows no failure.
func ParseBudget(s string) (Budget, error) {
	if s == "" {
		return Budget{}, nil
	}
	if p, ok := strings.CutSuffix(s, "%"); ok {
		x, err := strconv.ParseFloat(strings.TrimSpace(p), 64)
		if err != nil || !(x >= 0 && x <= 100) {
			return Budget{}, fmt.Errorf("%q is no share: write 0%% to 100%%, e.g. 1%%", s)
		}
		return Budget{percent: x}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return Budget{}, fmt.Errorf("%q is no number of failures: write a whole number, e.g. 3, or a share, e.g. 1%%", s)
	}
	return Budget{count: n}, nil
}

// Allows returns how many of total shards may fail. A share is rounded down.
func (b Budget) Allows(total int) int {
	return b.count + int(math.Floor(b.percent*float64(total)/100+1e-9))
}
