package minio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"tempera/infra/artifact"
)

// Retry bounds how long transient faults are waited out.
type Retry struct {
	Total    time.Duration // from the first failure on; 30 s
	First    time.Duration // the first pause, which doubles; 100 ms
	Max      time.Duration // the longest pause; 5 s
	Attempts int           // at most; 0 is no bound
}

func (r Retry) withDefaults() Retry {
	set := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
	}
	set(&r.Total, 30*time.Second)
	set(&r.First, 100*time.Millisecond)
	set(&r.Max, 5*time.Second)
	return r
}

// pause returns how long to wait after the n-th failure (0 is the first):
// exponential, between half and all of it, so that clients spread out.
func (r Retry) pause(n int) time.Duration {
	d := r.Max
	if n < 30 && r.First<<n < r.Max {
		d = r.First << n
	}
	return d/2 + rand.N(d/2+1)
}

// unreadable is what MinIO answers, as if it were a passing overload, where too
// few intact copies of an object can be read: for as long as drives are away,
// and for good where its bytes are damaged. Without drives it does not list
// either, which tells the two apart.
const (
	unreadable   = "SlowDownRead"
	damagedAfter = 4 // attempts
)

// mostClosed is how often an operation is tried again at once where its connection was closed under it: as by the client itself, when the other side speaks
// first. The next attempt tells what is wrong.
const mostClosed = 3

// try calls f until it succeeds, fails for good, or the retries are spent. f
// gets the number of attempts that failed before: after a failure nobody knows
// whether the server had done its part. op is for the message.
func (s *Store) try(ctx context.Context, op string, f func(failed int) error) error {
	var first time.Time
	closed := 0 // attempts that say nothing of the server
	for failed := 0; ; failed++ {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %w", op, err)
		}
		err := f(failed)
		if err == nil {
			return nil
		}
		if stop := ctx.Err(); stop != nil {
			return fmt.Errorf("%s: %w", op, stop)
		}
		if !transient(err) {
			return s.explain(op, err)
		}
		if errors.Is(err, net.ErrClosed) && closed < mostClosed {
			closed++
			continue
		}
		if failed+1 >= damagedAfter && code(err) == unreadable && s.probe(ctx) == nil {
			return fmt.Errorf("%s in %s: %w: the server cannot read this object, though it answers for others: its bytes on disk are damaged: restore it, or remove it from the bucket and run with --force what made it", op, s.where(), artifact.ErrDigest)
		}
		now := time.Now()
		if failed == 0 {
			first = now
		}
		wait := s.opts.Retry.pause(failed)
		spent := now.Sub(first)+wait > s.opts.Retry.Total && failed > 0
		if n := s.opts.Retry.Attempts; spent || n > 0 && failed+1 >= n+closed {
			tried := ""
			if failed > 0 {
				tried = fmt.Sprintf(", tried %d times", failed+1)
			}
			return fmt.Errorf("%s in %s: %w: %s%s; %s", op, s.where(), artifact.ErrTransient, oneLine(cause(err)), tried, adviceEndpoint)
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}
