package activities

import (
	"encoding/json"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
)

func cpu() float64 {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Sec) + float64(r.Utime.Usec)/1e6 + float64(r.Stime.Sec)
}

func TestZZVQA(t *testing.T) {
	path := os.Getenv("VQA")
	if path == "" {
		t.Skip()
	}
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	var c struct {
		Task                          map[string]any
		Count, Demos, Test, Seed      int
		Model, SFT, Control, RL, Eval map[string]any
		Variants                      map[string]map[string]any
		Stop                          string
	}
	require.NoError(t, json.Unmarshal(raw, &c))
	l := &workshop{t, mem.New()}
	j := func(m map[string]any, more ...any) string {
		out := map[string]any{}
		for k, v := range m {
			out[k] = v
		}
		for i := 0; i < len(more); i += 2 {
			out[more[i].(string)] = more[i+1]
		}
		b, _ := json.Marshal(out)
		return string(b)
	}
	w0, c0 := time.Now(), cpu()
	lap := func(what string, m map[string]float64) {
		fmt.Printf("%-10s wall %5.1f cpu %5.1f ", what, time.Since(w0).Seconds(), cpu()-c0)
		for _, k := range sortedKeys(m) {
			switch k {
			case "pass_1", "exact_match", "loss", "steps", "pass_at_1", "reward", "entropy", "length", "drift_max", "equal_groups", "pass_rate", "parameters", "reward_format":
				fmt.Printf(" %s=%.4g", k, m[k])
			}
		}
		fmt.Println()
		w0, c0 = time.Now(), cpu()
	}
	part := func(half, rows string, n, seed int) artifact.Artifact {
		return l.output(execution{kind: examples(), params: j(nil, "source", "scene", "params", json.RawMessage(j(c.Task, "split", half)), "rows", rows, "count", n, "seed", seed)}, "examples")
	}
	train := part("train", "demonstrations", c.Count, c.Seed)
	demos := train
	if c.Demos > 0 {
		demos = part("train", "demonstrations", c.Demos, c.Seed+100)
	}
	test := part("test", "problems", c.Test, c.Seed+1)
	tok := l.output(execution{kind: tokenizerKind(), params: `{"alphabet":"words","vocab_size":1024,"lowercase":false,"prefix_space":false,"special":["<think>","</think>","<answer>","</answer>"]}`, inputs: ports{"data": {train}}}, "tokenizer")
	init, err := l.run(execution{kind: initModel(), params: j(nil, "kind", "vlm", "seed", c.Seed, "model", c.Model), inputs: ports{"tokenizer": {tok}}})
	require.NoError(t, err)
	lap("data", init.Metrics)
	m0 := init.Outputs["model"]
	eval := func(what string, m artifact.Artifact, more ...any) {
		r, err := l.run(execution{kind: evaluateTasks(), threads: 2, params: j(c.Eval, append([]any{"seed", c.Seed, "greedy", true}, more...)...), inputs: ports{"model": {m}, "data": {test}}})
		require.NoError(t, err)
		lap("  "+what, r.Metrics)
		e := l.evaluation(r.Outputs["evaluation"])
		for _, s := range e.Tasks.Slices {
			fmt.Printf("      %s %.1f", s.Name, s.Mean)
		}
		fmt.Println()
	}
	train1 := func(what string, kind Kind, params map[string]any, in ports) artifact.Artifact {
		r, err := l.run(execution{kind: kind, threads: 2, params: j(params, "seed", c.Seed), inputs: in})
		require.NoError(t, err)
		lap(what, r.Metrics)
		return r.Outputs["model"]
	}
	start := train1("sft", sft(), c.SFT, ports{"model": {m0}, "data": {demos}})
	eval("start", start)
	if c.Stop == "sft" {
		return
	}
	for _, name := range sortedKeys(c.Variants) {
		p := map[string]any{}
		for k, v := range c.RL {
			p[k] = v
		}
		for k, v := range c.Variants[name] {
			p[k] = v
		}
		fmt.Println(name)
		m := train1("rl", rl(), p, ports{"model": {start}, "problems": {train}})
		eval("rl", m)
	}
	if len(c.Variants) > 0 {
		return
	}
	rled := train1("rl", rl(), c.RL, ports{"model": {start}, "problems": {train}})
	eval("rl", rled)
	eval("rl other", rled, "pictures", "other")
	eval("rl blank", rled, "pictures", "blank")
	if c.Control != nil {
		more := train1("control", sft(), c.Control, ports{"model": {start}, "data": {demos}})
		eval("control", more)
	}
}
