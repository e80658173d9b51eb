//go:build chaos

package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
)

// smallRounds is a language model trained by two replicas in rounds of some
// seconds, on a folder of pages.
const smallRounds = `{"name": "rounds", "text": {"source": "files", "from": [%q], "held_out": 0.1}, "vocab": 320, "batch": 8, "seed": 1, "samples": 0, "publish": "no",
	"model": {"width": 48, "context": 64, "layers": 2, "heads": 4}, "steps": 900, "checkpoint_seconds": 0.5, "data_parallel": {"replicas": 2, "local_steps": 300}}`

// TestChaosOfReplicas trains two replicas on two workers and kills one of them,
// without another to take its place, in the middle of a round. The other one goes
// on with the replica from its checkpoint, and the run ends with the bits of an
// undisturbed one; the replica that the kill did not meet is not done again.
func TestChaosOfReplicas(t *testing.T) {
	binary := buildWorker(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	p := json.RawMessage(fmt.Sprintf(smallRounds, pages(t)))
	calm, wild := newServers(t, binary), newServers(t, binary)
	train := func(s *stack, disturb func()) (map[string]artifact.Digest, time.Duration) {
		workers := []*exec.Cmd{s.spawn("--slots", "1"), s.spawn("--slots", "1")}
		began := time.Now()
		run := s.start(ctx, "rounds", "Pretrain", p)
		if disturb != nil {
			s.worker = workers[0]
			disturb()
		}
		got := s.digests(ctx, run)
		took := time.Since(began)
		for _, w := range workers {
			_ = w.Process.Kill()
			_ = w.Wait()
		}
		return got, took
	}
	want, quiet := train(calm, nil)
	var at time.Time
	got, disturbed := train(wild, func() {
		for len(wild.training(2)) < 2 { // both replicas of the second round have a checkpoint
			require.NoError(t, ctx.Err())
			time.Sleep(20 * time.Millisecond)
		}
		at = time.Now()
		require.NoError(t, wild.worker.Process.Signal(syscall.SIGKILL))
	})
	require.Equal(t, want, got)

	again := 0
	for _, a := range wild.journal() {
		if a.kind != "train_replica" || a.number == 1 {
			continue
		}
		again++
		before := earlier(wild.journal(), a, 1)
		last, ok := before.before(at)
		require.True(t, ok)
		require.Greater(t, a.resumed, int64(300), "it goes on from its checkpoint in the second round")
		fmt.Printf("%s: killed after step %d, went on from step %d after %.1f s\n", a.stage, last.step, a.resumed, a.began.Sub(at).Seconds())
	}
	require.Equal(t, 1, again, "of all replicas of all rounds, the killed one alone was begun again")
	fmt.Printf("%d outputs are the same bits, model %s among them; undisturbed %.0f s, disturbed %.0f s\n",
		len(got), got["pretrain.model (model)"].Short(), quiet.Seconds(), disturbed.Seconds())
}

// training returns the replicas of a round that run and have written a checkpoint.
func (s *stack) training(round int) (running []*attempt) {
	for _, a := range s.journal() {
		if strings.HasPrefix(a.stage, fmt.Sprintf("round_%d_", round)) && a.ended.IsZero() && len(a.saves) > 0 {
			running = append(running, a)
		}
	}
	return running
}

// pages writes a folder of documents that are easy to learn.
func pages(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 200 {
		who, what := []string{"cat", "dog", "fox", "hen", "owl"}[i%5], []string{"runs", "sleeps", "sings"}[i%3]
		text := fmt.Sprintf("The %s %s at %d. ", who, what, i) + strings.Repeat(fmt.Sprintf("Then the %s %s again. ", who, what), 3+i%7)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.txt", i)), []byte(text), 0o644))
	}
	return dir
}
