package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawSpec makes a spec without cycles: stages refer to earlier ones of a
// hidden order by needs, inputs and expressions, and are written shuffled.
func drawSpec(t *rapid.T) *Spec {
	n := rapid.IntRange(1, 25).Draw(t, "stages")
	spec := &Spec{Name: "random", Defaults: Defaults{Parallel: rapid.IntRange(1, 5).Draw(t, "parallel")}}
	for i := range n {
		s := Stage{ID: fmt.Sprintf("s%d", i), Kind: "noop", Inputs: map[string]Inputs{}}
		for j := range i {
			id := fmt.Sprintf("s%d", j)
			switch rapid.IntRange(0, 9).Draw(t, "edge") {
			case 0:
				s.Needs = append(s.Needs, id)
			case 1:
				s.Inputs["in"] = append(s.Inputs["in"], id+".out")
			case 2:
				s.When = id + ".x >= 0"
			case 3:
				s.Gate = &Gate{Metric: id + ".x >= 0", Approval: rapid.Bool().Draw(t, "approval")}
			}
		}
		spec.Stages = append(spec.Stages, s)
	}
	spec.Stages = rapid.Permutation(spec.Stages).Draw(t, "order")
	return spec
}

func drawPlan(t *rapid.T) *Plan {
	p, err := NewPlan(drawSpec(t), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPlansOrderEveryStageAfterWhatItWaitsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		seen := map[string]int{}
		for i := range p.Nodes {
			n := &p.Nodes[i]
			for _, id := range p.Dependencies(n) {
				level, ok := seen[id]
				if !ok {
					t.Fatalf("%s is planned before %s", n.ID, id)
				}
				if level >= n.Level {
					t.Fatalf("%s is on level %d, %s that it waits for on %d", n.ID, n.Level, id, level)
				}
			}
			seen[n.ID] = n.Level
		}
	})
}

func TestPlansSurviveJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(b, &back); err != nil {
			t.Fatal(err)
		}
		again, err := json.Marshal(&back)
		if err != nil || string(again) != string(b) {
			t.Fatalf("%v\n%s", err, cmp.Diff(string(b), string(again)))
		}
	})
}

// TestRunsFinishWhateverHappens starts, ends, fails, repairs and saves at
// random: no stage starts before its inputs are there, no more run than may,
// what blocked is derived right, and in the end all is done.
func TestRunsFinishWhateverHappens(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPlan(t)
		r := NewRun(p)
		for range rapid.IntRange(0, 10*len(p.Nodes)).Draw(t, "steps") {
			randomStep(t, r)
			checkRun(t, r)
		}
		finish(t, r)
	})
}

// finish drives a run to its end without further trouble.
func finish(t *rapid.T, r *Run) {
	for round := 0; !r.Done(); round++ {
		if round > 3*len(r.plan.Nodes) {
			t.Fatalf("no end:\n%s", r.Details(DetailsOptions{}))
		}
		if r.Stalled() && len(r.In(Failed))+len(r.In(Approval)) == 0 {
			t.Fatalf("stalled and nobody can help:\n%s", r.Details(DetailsOptions{}))
		}
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, id := range r.In(Failed) {
			must(r.Retry(id, nil))
		}
		for _, id := range r.In(Approval) {
			must(r.Approve(id, "someone", ""))
		}
		for _, id := range r.Ready() {
			must(r.Started(id))
		}
		for _, id := range r.In(Running) {
			must(r.Succeeded(id, resultOf(r, id, false, []string{"x=1"})))
		}
		checkRun(t, r)
	}
}

func randomStep(t *rapid.T, r *Run) {
	pick := func(ids []string) string { return rapid.SampledFrom(ids).Draw(t, "stage") }
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	ready, running, failed, held := r.Ready(), r.In(Running), r.In(Failed), r.In(Approval)
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0, 1:
		if len(ready) > 0 {
			id := pick(ready)
			_, err := r.Request(id, "run")
			must(err)
			must(r.Started(id))
		}
	case 2:
		if len(running) > 0 {
			id := pick(running)
			must(r.Succeeded(id, resultOf(r, id, false, []string{"x=1"})))
		}
	case 3:
		if len(failed) > 0 {
			must(r.Retry(pick(failed), nil))
		}
	case 4:
		if len(held) > 0 {
			must(r.Approve(pick(held), "someone", ""))
		}
	case 5:
		if len(running) > 0 {
			must(r.Failed(pick(running), "bad luck"))
		}
	case 6:
		if len(failed) > 0 {
			must(r.Skip(pick(failed), "not needed"))
		}
	case 7:
		if len(running) > 0 {
			must(r.Requeue(pick(running)))
		}
	case 8:
		b, err := json.Marshal(r)
		must(err)
		before := states(r)
		must(json.Unmarshal(b, r))
		if after := states(r); after != before {
			t.Fatal(cmp.Diff(before, after))
		}
	case 9:
		if rapid.IntRange(0, 9).Draw(t, "rarely") == 0 {
			id := r.plan.Nodes[rapid.IntRange(0, len(r.plan.Nodes)-1).Draw(t, "which")].ID
			if r.Can(ActionCancel, id) == nil {
				must(r.Cancel(id, "by someone"))
			}
		}
	}
}

// checkRun compares what the run keeps up to date with what follows from the
// plan alone.
func checkRun(t *rapid.T, r *Run) {
	c := r.Counts()
	if n := len(r.Ready()); n > max(0, r.plan.Parallel-c.Running) {
		t.Fatalf("%d are to be started while %d of %d run", n, c.Running, r.plan.Parallel)
	}
	sum := c.Waiting + c.Blocked + c.Approval + c.Ready + c.Running + c.Succeeded + c.Skipped + c.Failed + c.Cancelled
	if sum != c.Total {
		t.Fatalf("%d stages, %d counted", c.Total, sum)
	}
	for i, n := range r.plan.Nodes {
		s := r.stages[i].State
		if s != Ready && s != Running && s != Succeeded {
			continue
		}
		for _, j := range n.After {
			from := r.stages[j].State
			if from != Succeeded && from != Skipped {
				t.Fatalf("%s is %s, %s that it waits for is %s", n.ID, s, r.plan.Nodes[j].ID, from)
			}
		}
	}
	for _, id := range r.In(Waiting) {
		settled := true
		for _, j := range r.Node(id).After {
			settled = settled && r.stages[j].State.settled()
		}
		if settled {
			t.Fatalf("%s waits for nothing", id)
		}
	}
}

func bigSpec(n int) *Spec {
	spec := &Spec{Name: "big"}
	for i := range n {
		s := Stage{ID: fmt.Sprintf("stage_%05d", i), Kind: "train", Params: json.RawMessage(`{"steps":5}`)}
		if i == 0 {
			s.Kind, s.Params = "ingest", nil
		} else {
			s.Inputs = map[string]Inputs{"data": {"stage_00000.data"}}
			if i > 3 {
				s.Inputs["init"] = Inputs{fmt.Sprintf("stage_%05d.model", i-3)}
			}
		}
		spec.Stages = append(spec.Stages, s)
	}
	return spec
}

// TestTenThousandStages bounds time and size where they would hurt: a workflow
// task takes at most a second or so, a payload two megabytes.
func TestTenThousandStages(t *testing.T) {
	const payload = 2 << 20
	begin := time.Now()
	p, err := NewPlan(bigSpec(maxStages), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	planned := time.Since(begin)
	r := NewRun(p)
	begin = time.Now()
	for !r.Done() {
		for _, id := range r.Ready() {
			if err := r.Started(id); err != nil {
				t.Fatal(err)
			}
			res := resultOf(r, id, false, []string{"loss=2.345678", "recall=0.123456", "seconds=123.5"})
			for name, a := range res.Outputs { // digests that do not compress
				key, err := stageKey(id + name)
				if err != nil {
					t.Fatal(err)
				}
				a.Digest = key
				res.Outputs[name] = a
			}
			res.Key = "train-" + string(res.Outputs["model"].Digest)
			if err := r.Succeeded(id, res); err != nil {
				t.Fatal(err)
			}
		}
	}
	ran := time.Since(begin)
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	planJSON, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("plan %v, run %v, plan %d bytes, run %d bytes", planned, ran, len(planJSON), len(b))
	if len(b) > payload || len(planJSON) > payload {
		t.Fatalf("plan %d and run %d bytes do not pass through a payload", len(planJSON), len(b))
	}
	if planned > 5*time.Second || ran > 5*time.Second {
		t.Fatalf("planning took %v, running %v", planned, ran)
	}
	if d := r.Details(DetailsOptions{}); strings.Count(d, "\n") > 80 || len(d) > 16<<10 {
		t.Fatalf("details have %d bytes", len(d))
	}
}

func TestOneStageTooMany(t *testing.T) {
	err := Check(bigSpec(maxStages+1), testKinds())
	if err == nil || !strings.Contains(err.Error(), "at most 10000 can run") {
		t.Fatalf("got %v", err)
	}
}

func TestDetailsGroupWhatIsTooMuch(t *testing.T) {
	p, err := NewPlan(bigSpec(200), testKinds())
	if err != nil {
		t.Fatal(err)
	}
	r := NewRun(p)
	r.plan.Parallel = 1000
	for _, step := range []string{"start stage_00000", "finish stage_00000", "start stage_00001", "fail stage_00001 no memory", "start stage_00002"} {
		if _, err := drive(r, strings.Fields(step)); err != nil {
			t.Fatal(err)
		}
	}
	got := r.Details(DetailsOptions{})
	for _, want := range []string{
		"| stage_00001 | train | **failed** |", "| stage_00002 | train | running |",
		"| 1 stages | ingest | succeeded |", "stages | train | blocked |", "**stage_00001** failed: no memory",
	} {
		if !strings.Contains(got, want) {
			t.Fatalf("no %q in\n%s", want, got)
		}
	}
	if rows := strings.Count(got, "\n| "); rows > detailRows+2 || !slices.Contains(strings.Split(got, "\n"), "| --- | --- | --- | --- | --- |") {
		t.Fatalf("%d rows", rows)
	}
}
