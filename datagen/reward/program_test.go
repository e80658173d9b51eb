package reward_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/reward"
)

// numbered are n samples whose texts are their numbers.
func numbered(n int) []reward.Sample {
	var out []reward.Sample
	for i := range n {
		e := &example.Example{ID: fmt.Sprint(i), Prompt: example.Plain("p"), Problem: &example.Problem{Task: "number", Answer: "7"}}
		out = append(out, reward.Sample{Example: e, Text: fmt.Sprint(i), Tokens: 3, Ended: true})
	}
	return out
}

// opened is a script as a reward.
func opened(t *testing.T, script string, more map[string]any) *reward.Rewards {
	t.Helper()
	params := map[string]any{"script": "#!/bin/sh\n" + script, "seconds": 3, "mib": 256, "default": -9, "max_bad": 1}
	for k, v := range more {
		params[k] = v
	}
	r, err := reward.Open([]reward.Term{{Reward: "program", Weight: 1, Params: params}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// judged runs a script over samples.
func judged(t *testing.T, script string, n int, more map[string]any) ([]float64, map[string]int, error) {
	t.Helper()
	r := opened(t, script, more)
	scores, err := r.Score(t.Context(), numbered(n))
	return totals(scores), r.Counts(), err
}

func totals(scores []reward.Score) []float64 {
	var out []float64
	for _, s := range scores {
		out = append(out, s.Total)
	}
	return out
}

// eachLine runs a body for every line, with $n as the sample's number, and say to give a reward.
func eachLine(body string) string {
	return `say() { echo "{\"n\": $q, \"reward\": $1}"; }
while read -r line; do n=${line#*'"completion":"'}; n=${n%%'"'*}; q=${line#*:}; q=${q%%,*}; ` + body + `; done`
}

func TestAProgramJudgesEverySample(t *testing.T) {
	for _, c := range []struct {
		name, script string
		want         []float64
		counts       map[string]int
	}{
		{"a reward a line", eachLine(`say $n.5`), []float64{0.5, 1.5, 2.5, 3.5}, nil},
		{"a crash costs its sample only", eachLine(`if [ $n = 1 ]; then echo no judge >&2; exit 3; fi; say $n`), []float64{0, -9, 2, 3}, map[string]int{"crashed": 1}},
		{"a hang costs its sample only", eachLine(`if [ $n = 2 ]; then sleep 60; fi; say $n`), []float64{0, 1, -9, 3}, map[string]int{"hung": 1}},
		{"words are no number", eachLine(`if [ $n = 0 ]; then say '"good"'; else say $n; fi`), []float64{-9, 1, 2, 3}, map[string]int{"no_number": 1}},
		{"null is no number", eachLine(`if [ $n = 3 ]; then say null; else say $n; fi`), []float64{0, 1, 2, -9}, map[string]int{"no_number": 1}},
		{"beyond floats is no number", eachLine(`if [ $n = 3 ]; then say 1e400; else say $n; fi`), []float64{0, 1, 2, -9}, map[string]int{"no_number": 1}},
		{"a long line costs its sample only", eachLine(`if [ $n = 1 ]; then yes | tr -d '\n'; fi; say $n`), []float64{0, -9, 2, 3}, map[string]int{"flooded": 1}},
		{"many lines cost their sample only", eachLine(`if [ $n = 1 ]; then yes; fi; say $n`), []float64{0, -9, 2, 3}, map[string]int{"flooded": 1}},
		{"what is no answer is not minded", eachLine(`echo thinking about $n; say $n; say 77; echo '{"n": 1, "reward": 77}'`), []float64{0, 1, 2, 3}, nil},
		{"garbage alone is a hang", eachLine(`if [ $n = 1 ]; then echo '}{'; else say $n; fi`), []float64{0, -9, 2, 3}, map[string]int{"hung": 1}},
		{"input that is not read is a hang", `exec sleep 60`, []float64{-9, -9, -9, -9}, map[string]int{"hung": 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, counts, err := judged(t, c.script, 4, nil)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
			for what, n := range c.counts {
				require.Equal(t, n, counts["program."+what], counts)
			}
			require.Equal(t, 4, counts["program.judged"])
			require.Len(t, counts, 1+len(c.counts))
		})
	}
}

func TestOneProcessJudgesUntilItBreaks(t *testing.T) {
	r := opened(t, eachLine(`[ $n = 1 ] && [ $q = 6 ] && exit 1; say $$`), nil)
	var pids [][]float64
	for range 3 {
		scores, err := r.Score(t.Context(), numbered(4))
		require.NoError(t, err)
		pids = append(pids, totals(scores))
	}
	first, second := pids[0][0], pids[2][0]
	require.Equal(t, [][]float64{{first, first, first, first}, {first, -9, second, second}, {second, second, second, second}}, pids)
	require.NotEqual(t, first, second)
	require.NoError(t, r.Close())
	require.Eventually(t, func() bool { return gone(int(second)) }, 5*time.Second, 10*time.Millisecond)
}

func TestAProgramThatAlwaysFailsIsAnErrorThatSaysWhy(t *testing.T) {
	_, _, err := judged(t, `echo "no module named judge" >&2; exit 1`, 40, map[string]any{"max_bad": 0.1})
	require.ErrorContains(t, err, "failed on 16 of 16 samples, and max_bad is 0.1; the last time: crashed: no module named judge (exit status 1)")
	require.ErrorIs(t, err, reward.ErrProgram)
	_, _, err = judged(t, eachLine(`[ $n = 5 ] && exit 1; say 1`), 40, map[string]any{"max_bad": 0.1})
	require.NoError(t, err, "one of forty may fail")
	_, _, err = judged(t, ``, 1, map[string]any{"script": "", "command": []string{"/no/such/program"}})
	require.ErrorContains(t, err, "the program failed to start")
	require.ErrorIs(t, err, reward.ErrProgram)
}

func TestAProgramGetsNoMoreMemory(t *testing.T) {
	script := `limit=$(ulimit -v); ` + eachLine(`say $limit`)
	got, _, err := judged(t, script, 2, nil)
	require.NoError(t, err)
	require.Equal(t, []float64{256 << 10, 256 << 10}, got)
}

func TestAProgramSeesItsSampleAndNothingOfOurs(t *testing.T) {
	t.Setenv("SECRET", "key")
	seen := filepath.Join(t.TempDir(), "seen")
	script := `env > ` + seen + `; pwd >> ` + seen + `; while read -r line; do echo "$line" >> ` + seen + `; echo '{"n": 1, "reward": 1}'; done`
	_, _, err := judged(t, script, 1, nil)
	require.NoError(t, err)
	data, err := os.ReadFile(seen)
	require.NoError(t, err)
	require.NotContains(t, string(data), "SECRET")
	require.Contains(t, string(data), `{"n":1,"id":"0","prompt":"p","completion":"0","task":"number","answer":"7","tokens":3,"ended":true}`)
}

func TestNothingOfAProgramIsLeftRunning(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	script := `sleep 300 & echo $! >> ` + pids + `; echo $$ >> ` + pids + `; ` + eachLine(`sleep 300`)
	_, counts, err := judged(t, script, 2, map[string]any{"seconds": 2})
	require.NoError(t, err)
	require.Equal(t, 2, counts["program.hung"])
	data, err := os.ReadFile(pids)
	require.NoError(t, err)
	require.Len(t, strings.Fields(string(data)), 4)
	for _, field := range strings.Fields(string(data)) {
		pid, err := strconv.Atoi(field)
		require.NoError(t, err)
		require.Eventually(t, func() bool { return gone(pid) }, 5*time.Second, 10*time.Millisecond)
	}
}

// gone tells whether a process is no more, or a zombie that nobody waits for.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(state), ") Z ")
}

func TestACancelledProgramStopsAtOnce(t *testing.T) {
	r, err := reward.Open([]reward.Term{{Reward: "program", Weight: 1, Params: map[string]any{"script": "#!/bin/sh\nsleep 60", "seconds": 60}}})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err = r.Score(ctx, numbered(3))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Less(t, time.Since(began), 10*time.Second)
}
