//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

var (
	seed   = flag.Uint64("seed", 1, "seed of the moments and of what is killed")
	kills  = flag.Int("kills", 20, "kills in all")
	job    = flag.String("job", "CaptionBootstrap", "the workflow")
	params = flag.String("params", smallBootstrap, "its parameters; each round adds its number to the seed, where there is one")
	every  = flag.Duration("checkpoint", time.Second, "what the parameters say about the time between checkpoints")
)

// smallBootstrap is CaptionBootstrap with everything in it, in about a minute,
// most of which goes into trainings that write a checkpoint every second.
const smallBootstrap = `{"name": "chaos", "seed": 1, "web": 512, "clean": 256, "gallery": 64, "checkpoint_seconds": 1,
	"model": {"width": 32, "layers": 2, "text_layers": 1, "heads": 4, "patch": 8},
	"pretrain": {"steps": 1000, "batch": 32}, "filter": {"steps": 800, "batch": 32}, "captioner": {"steps": 2000, "batch": 32},
	"judge": {"steps": 800, "batch": 32}, "arm": {"batch": 32}, "arm_steps": [1800], "arms": ["raw", "filtered", "bootstrapped"]}`

// killed is one row of the table.
type killed struct {
	part    string
	at, up  time.Time // when it was killed and when it was started again
	before  state
	running []*attempt    // at the kill
	resume  time.Duration // from the restart until work goes on
	lost    []loss        // of the trainings that had to go on in another attempt
}

// What the kill of a part may cost: a worker is missed after the heartbeat
// timeout and one throttled heartbeat; then comes the retry interval, which
// doubles with every attempt at the same stage; the slack is for the start of a
// worker, its connections and a first step on a busy machine.
const (
	missedAfter = 11 * time.Second
	retryFirst  = time.Second
	retryMost   = time.Minute
	slack       = 10 * time.Second
)

// limit is the longest resume delay that is accepted.
func (k *killed) limit() time.Duration {
	wait := time.Duration(0)
	for _, a := range k.running {
		wait = max(wait, min(retryMost, retryFirst<<min(a.number-1, 10)))
	}
	return missedAfter + wait + slack
}

func TestChaos(t *testing.T) {
	binary := buildWorker(t)
	calm, wild := newStack(t, binary), newStack(t, binary)
	random := rand.New(rand.NewPCG(*seed, 0xc4a05))
	ctx, cancel := context.WithTimeout(t.Context(), 55*time.Minute)
	defer cancel()
	var rows []*killed
	for round := 0; len(rows) < *kills; round++ {
		require.Less(t, round, 20, "the runs end before anything is killed: make the job larger")
		p := ofRound(t, round)
		id := fmt.Sprintf("chaos-%d", round)
		began := time.Now()
		want := calm.digests(ctx, calm.start(ctx, id, *job, p))
		quiet := time.Since(began)
		began = time.Now()
		run := wild.start(ctx, id, *job, p)
		some := wild.torment(ctx, run, random, *kills-len(rows))
		got := wild.digests(ctx, run)
		wild.account(some)
		rows = append(rows, some...)
		printTable(some, began)
		require.Equal(t, want, got, "round %d: a disturbed run made other bytes", round)
		fmt.Printf("round %d: %d outputs are the same bits after %d kills; undisturbed %.0f s, disturbed %.0f s\n",
			round, len(got), len(some), quiet.Seconds(), time.Since(began).Seconds())
	}
	wild.keepsItsPromise(rows)
}

// ofRound returns the parameters of a round: other seeds make other keys, so
// that a round does not find the results of the one before.
func ofRound(t *testing.T, round int) json.RawMessage {
	t.Helper()
	var m map[string]any
	require.NoError(t, json.Unmarshal([]byte(*params), &m))
	if s, ok := m["seed"].(float64); ok {
		m["seed"] = s + float64(round)
	}
	data, err := json.Marshal(m)
	require.NoError(t, err)
	return data
}

// torment kills parts of the stack at random moments until the run ends or
// there have been n kills.
func (s *stack) torment(ctx context.Context, run client.WorkflowRun, random *rand.Rand, n int) (rows []*killed) {
	var over atomic.Bool
	go func() {
		_ = run.Get(ctx, nil)
		over.Store(true)
	}()
	var parts []string
	for len(rows) < n {
		if len(parts) == 0 {
			parts = []string{partWorker, partTemporal, partMinIO, partWorker}
			random.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		}
		k := &killed{part: parts[0]}
		parts = parts[1:]
		down := time.Duration(random.IntN(1500)) * time.Millisecond
		time.Sleep(time.Duration(500+random.IntN(4000)) * time.Millisecond)
		var ok bool
		if k.before, ok = s.look(ctx); over.Load() || !ok {
			return rows
		}
		k.at = time.Now()
		k.up = s.kill(k.part, down)
		k.running = open(s.journal(), s.workerSince(k.at), k.at)
		for !over.Load() && !s.resumed(ctx, k) && time.Since(k.up) < k.limit()+30*time.Second {
			time.Sleep(50 * time.Millisecond)
		}
		k.resume = time.Since(k.up)
		rows = append(rows, k)
		s.t.Logf("kill %d of %d: %s, back after %.1f s, resumed in %.1f s", len(rows), n, k.part, k.up.Sub(k.at).Seconds(), k.resume.Seconds())
	}
	return rows
}

// account finds in the journal what each kill cost.
func (s *stack) account(rows []*killed) {
	all := s.journal()
	for _, a := range all {
		b := next(all, a)
		if b == nil {
			continue
		}
		for i, k := range rows { // the last kill before b is the cause
			last := i+1 == len(rows) || rows[i+1].at.After(b.began)
			if !last || b.began.Before(k.at) {
				continue
			}
			if l, ok := lossOf(a, b); ok {
				k.lost = append(k.lost, l)
			}
		}
	}
}

// keepsItsPromise checks what the documentation says a crash costs: at most a
// checkpoint interval, the time to write one, and the step during which it
// became due.
func (s *stack) keepsItsPromise(rows []*killed) {
	s.t.Helper()
	write := time.Duration(0)
	for _, a := range s.journal() {
		for _, m := range a.saves {
			if !storeAway(rows, m) {
				write = max(write, m.took)
			}
		}
	}
	most := *every + write + time.Second/2
	counts, after := map[string]int{}, 0
	for i, k := range rows {
		counts[k.part]++
		require.LessOrEqual(s.t, k.resume, k.limit(), "kill %d: the work did not go on in time", i+1)
		for _, l := range k.lost {
			require.LessOrEqual(s.t, l.time, most, "kill %d: %s lost more than one checkpoint interval", i+1, l.stage)
			if l.saved {
				after++
			}
		}
	}
	fmt.Printf("kills: %v; %d trainings went on from a checkpoint; the slowest one took %.2f s to write, so a loss may be %.2f s\n", counts, after, write.Seconds(), most.Seconds())
	require.GreaterOrEqual(s.t, after, max(1, counts[partWorker]/3), "too few kills met a training after a checkpoint: make the trainings longer")
}

// storeAway tells whether a checkpoint had to wait for a store that was killed.
func storeAway(rows []*killed, save mark) bool {
	for _, k := range rows {
		if k.part == partMinIO && save.at.After(k.at) && save.at.Add(-save.took).Before(k.up.Add(k.resume)) {
			return true
		}
	}
	return false
}

// printTable writes the table to standard output.
func printTable(rows []*killed, began time.Time) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "kill\twhat\tat\tdown\tresume delay\tlost steps\tlost time\ttraining: steps done, resumed from\t")
	for i, k := range rows {
		steps, lost, where := "-", "-", ""
		worst := loss{time: math.MinInt64}
		for _, l := range k.lost {
			if l.time > worst.time {
				worst = l
			}
			where += fmt.Sprintf(" %s %d, %d;", l.stage, l.done, l.resumed)
		}
		if len(k.lost) > 0 {
			steps, lost = fmt.Sprint(worst.done-worst.resumed), fmt.Sprintf("%.2f s", worst.time.Seconds())
		}
		fmt.Fprintf(w, "%d\t%s\t%.1f s\t%.1f s\t%.1f s\t%s\t%s\t%s\t\n", i+1, k.part, k.at.Sub(began).Seconds(), k.up.Sub(k.at).Seconds(),
			k.resume.Seconds(), steps, lost, strings.Trim(where, " ;"))
	}
	_ = w.Flush()
	fmt.Fprint(os.Stdout, text.String())
}
