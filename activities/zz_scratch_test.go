package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"tempera/datagen/example"
	"tempera/datagen/task"
	"tempera/infra/artifact"
	"tempera/infra/artifact/mem"
	"tempera/training"
	"tempera/training/device"
	"tempera/training/model"
	"tempera/training/objective"
	"tempera/training/optim"
	"tempera/training/tokenizer"
	"tempera/workflows/stage"
)

type printer struct{ every int64 }

func (p printer) Write(step int64, m map[string]float64) error {
	if v := os.Getenv("EVERY"); v != "" {
		fmt.Sscan(v, &p.every)
	}
	if (step+1)%p.every != 0 {
		return nil
	}
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	fmt.Printf("%4d", step+1)
	for _, k := range keys {
		if os.Getenv("KEYS") == "" || slices.Contains(strings.Split(os.Getenv("KEYS"), ","), k) {
			fmt.Printf(" %s=%.4g", k, m[k])
		}
	}
	fmt.Println()
	return nil
}

func scratchTask(t *testing.T, store artifact.Store, k Kind, params string, in ports) *Task {
	resolved, err := k.Check([]byte(params))
	require.NoError(t, err)
	return &Task{
		Request: stage.Request{Kind: k.Describe().Name, Params: resolved, Inputs: in, Key: "key"},
		Store:   store, Log: slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelWarn})), Scratch: t.TempDir(), Threads: 1,
		Checkpoints: nowhere{}, Metrics: printer{1}, Result: &stage.Result{}, Stopping: make(chan struct{}), Progress: func(Progress) {},
	}
}

func scratchRows(t *testing.T, store artifact.Store, g *task.Generator, seed uint64, n int, demo bool) artifact.Artifact {
	w := example.NewWriter(store, "rows", example.Meta{})
	for i := range n {
		e, err := g.Generate(seed, i)
		require.NoError(t, err)
		if demo {
			e = task.Demonstrate(e)
		}
		require.NoError(t, w.Add(t.Context(), e))
	}
	a, err := w.Close(t.Context())
	require.NoError(t, err)
	return a
}

func env(name, def string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return def
}

func TestScratchLearn(t *testing.T) {
	if os.Getenv("SCRATCH") == "" {
		t.Skip()
	}
	var seed, epochs, demos int
	fmt.Sscan(env("SEED", "0"), &seed)
	fmt.Sscan(env("EPOCHS", "16"), &epochs)
	fmt.Sscan(env("DEMOS", "2000"), &demos)
	store := mem.New()
	ar, err := task.Find(env("TASK", "arithmetic"))
	require.NoError(t, err)
	open := func(p string) *task.Generator {
		g, err := ar.Open(json.RawMessage(p))
		require.NoError(t, err)
		return g
	}
	style := env("STYLE", `"styles":{"direct":0.7,"steps":0.3},`)
	train, test := open(`{`+style+`"split":"train"}`), open(`{`+style+`"split":"test"}`)
	data := scratchRows(t, store, train, uint64(seed)*10+1, demos, true)
	problems := scratchRows(t, store, train, uint64(seed)*10+2, 4000, false)
	held := scratchRows(t, store, test, 5, 1000, false)

	tok, err := tokenizer.Train(func(yield func(string) bool) { yield("a") }, tokenizer.TrainOptions{
		VocabSize: 264, MinFrequency: 1000, Template: []string{"[BOS]", "$A", "[EOS]"}, Tags: []string{"<think>", "</think>", "<answer>", "</answer>"},
	})
	require.NoError(t, err)
	js, err := tok.JSON()
	require.NoError(t, err)
	ref, err := artifact.PutBytes(t.Context(), store, js)
	require.NoError(t, err)
	special, err := specialIDs(tok)
	require.NoError(t, err)
	task0 := scratchTask(t, store, rl(), `{}`, nil)
	dev, err := newCompute(task0)
	require.NoError(t, err)
	defer dev.close()
	c := model.Config{Kind: model.LM, Width: 64, Text: model.Text{Form: model.Llama, Vocab: tok.Size(), Context: 72, Layers: 2, Heads: 4, TieHead: true, Special: special, Rope: model.Rope{Theta: 1000}}}
	m, err := model.New(dev.backend, c, uint64(seed))
	require.NoError(t, err)
	ds, err := example.Load(t.Context(), store, data)
	require.NoError(t, err)
	const B, ctx = 32, 72
	o, err := objective.NewLM(m, objective.Plan{Batch: B, Lengths: []int{32, 48, 60}})
	require.NoError(t, err)
	order, err := training.NewOrder(len(ds), B, uint64(seed))
	require.NoError(t, err)
	sft := func(steps int64, peak float64) {
		began := time.Now()
		adam := optim.DefaultOptions()
		adam.Decay = 0.01
		loop := &training.Loop{Backend: dev.backend, Objective: o, Config: training.Config{
			Steps: steps, BatchSize: B, LogSteps: 200, Schedule: optim.Schedule{Peak: peak, Warmup: 50, Floor: 0.1}, AdamW: adam,
		}, Metrics: printer{200}, Batches: func(step int64, b *training.Batch) error {
			tokens, targets := b.Int32s(objective.Tokens, B*ctx), b.Int32s(objective.Targets, B*ctx)
			for i := range targets {
				tokens[i], targets[i] = special.Pad, device.IgnoreIndex
			}
			for r, i := range order.Batch(step) {
				p := append([]int32{special.BOS}, tok.Encode(ds[i].Prompt.Plain)...)
				a := append(tok.Encode(ds[i].Completion.Plain), special.EOS)
				all := append(p, a...)
				if len(all) > ctx {
					return fmt.Errorf("%d tokens", len(all))
				}
				for k := range all[:len(all)-1] {
					tokens[r*ctx+k] = all[k]
					if k >= len(p)-1 {
						targets[r*ctx+k] = all[k+1]
					}
				}
			}
			return nil
		}}
		_, err := loop.Run(context.Background())
		require.NoError(t, err)
		fmt.Printf("sft %d steps: %.1f s\n", steps, time.Since(began).Seconds())
	}
	save := func() artifact.Artifact {
		w, err := m.Weights()
		require.NoError(t, err)
		a, err := saveModel(t.Context(), task0, w, artifact.File{Path: tokenizerFile, Ref: ref})
		require.NoError(t, err)
		return a
	}
	n := order.StepsPerEpoch()
	sft(int64(epochs)*n, 4e-3)
	start := save()
	run := func(params string, model artifact.Artifact) map[string]float64 {
		task := scratchTask(t, store, rl(), params, ports{"model": {model}, "problems": {problems}, "held_out": {held}})
		began := time.Now()
		require.NoError(t, rl().Run(t.Context(), task))
		fmt.Printf("%.1f s %v\n", time.Since(began).Seconds(), task.Result.Metrics)
		return task.Result.Metrics
	}
	look := `{"iterations":1,"prompts":32,"group":8,"learning_rate":1e-9,"evaluate_rows":1000}`
	fmt.Println("start")
	run(look, start)
	fmt.Println("rl")
	run(env("RL", `{"iterations":40,"evaluate_every":10,"evaluate_rows":1000}`), start)
	if os.Getenv("CONTROL") != "" {
		sft(8*n, 1e-3)
		fmt.Println("control")
		run(look, save())
	}
}
