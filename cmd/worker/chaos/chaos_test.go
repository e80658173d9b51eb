//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
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
)

// smallBootstrap is CaptionBootstrap with everything in it, in about a minute.
const smallBootstrap = `{"name": "chaos", "seed": 1, "web": 512, "clean": 256, "gallery": 64,
	"model": {"width": 32, "layers": 2, "text_layers": 1, "heads": 4, "patch": 8},
	"pretrain": {"steps": 60, "batch": 16}, "filter": {"steps": 60, "batch": 16}, "captioner": {"steps": 120, "batch": 16},
	"judge": {"steps": 60, "batch": 16}, "arm": {"batch": 16}, "arm_steps": [60], "arms": ["raw", "filtered", "bootstrapped"]}`

// killed is one row of the table.
type killed struct {
	part   string
	at     time.Duration // of the run
	down   time.Duration
	resume time.Duration // from the restart until work goes on
	lost   int64         // steps
}

func TestChaos(t *testing.T) {
	binary := buildWorker(t)
	calm, wild := newStack(t, binary), newStack(t, binary)
	random := rand.New(rand.NewPCG(*seed, 0xc4a05))
	ctx, cancel := context.WithTimeout(t.Context(), 55*time.Minute)
	defer cancel()
	var rows []killed
	for round := 0; len(rows) < *kills; round++ {
		require.Less(t, round, 20, "the runs end before anything is killed: make the job larger")
		p := ofRound(t, round)
		id := fmt.Sprintf("chaos-%d", round)
		want := calm.digests(ctx, calm.start(ctx, id, *job, p))
		run := wild.start(ctx, id, *job, p)
		rows = append(rows, wild.torment(ctx, run, random, *kills-len(rows))...)
		got := wild.digests(ctx, run)
		require.Equal(t, want, got, "round %d: a disturbed run made other bytes", round)
		t.Logf("round %d: %d outputs are the same bits after %d kills so far", round, len(got), len(rows))
	}
	printTable(rows)
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
func (s *stack) torment(ctx context.Context, run client.WorkflowRun, random *rand.Rand, n int) (rows []killed) {
	var over atomic.Bool
	go func() {
		_ = run.Get(ctx, nil)
		over.Store(true)
	}()
	began := time.Now()
	parts := []string{"worker", "temporal", "minio", "worker"}
	for len(rows) < n {
		pause := time.Duration(500+random.IntN(4000)) * time.Millisecond
		k := killed{part: parts[random.IntN(len(parts))], down: time.Duration(random.IntN(1500)) * time.Millisecond}
		time.Sleep(pause)
		before, ok := s.look(ctx)
		if over.Load() || !ok {
			return rows
		}
		at := time.Now()
		k.at = at.Sub(began)
		s.kill(k.part, k.down)
		up := time.Now()
		k.lost = s.resumed(ctx, before, up, over.Load)
		k.resume = time.Since(up)
		rows = append(rows, k)
		s.t.Logf("kill %d: %s at %s, back after %s, resumed in %s, %d steps lost", len(rows), k.part, k.at.Round(time.Millisecond), up.Sub(at).Round(time.Millisecond), k.resume.Round(time.Millisecond), k.lost)
	}
	return rows
}

// print writes the table to standard output.
func printTable(rows []killed) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "kill\twhat\tat\tdown\tresume delay\tlost steps\t")
	for i, r := range rows {
		fmt.Fprintf(w, "%d\t%s\t%.1f s\t%.1f s\t%.1f s\t%d\t\n", i+1, r.part, r.at.Seconds(), r.down.Seconds(), r.resume.Seconds(), r.lost)
	}
	_ = w.Flush()
	fmt.Fprint(os.Stdout, text.String())
}
