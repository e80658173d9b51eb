package dag

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tempera/infra/artifact"
	"tempera/workflows/stage"
)

func indented(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestParseGolden(t *testing.T) {
	runGolden(t, "parse", func(c goldenCase) string {
		f, err := ParseFile([]byte(c.input))
		switch {
		case err != nil:
			return err.Error()
		case f.Run != nil:
			return indented(t, f.Run)
		}
		return indented(t, f.Spec)
	})
}

func TestCheckGolden(t *testing.T) {
	runGolden(t, "check", func(c goldenCase) string {
		spec, err := Parse([]byte(c.input))
		if err != nil {
			return err.Error()
		}
		if err := Check(spec, testKinds()); err != nil {
			return err.Error()
		}
		return "ok"
	})
}

func TestPlanGolden(t *testing.T) {
	runGolden(t, "plan", func(c goldenCase) string {
		spec, err := Parse([]byte(c.input))
		if err != nil {
			return err.Error()
		}
		p, err := NewPlan(spec, testKinds())
		if err != nil {
			return err.Error()
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s: %d at a time, repair %s, queues %v\n", p.Name, p.Parallel, mustText(p.Repair), p.Queues())
		for i := range p.Nodes {
			n := &p.Nodes[i]
			fmt.Fprintf(&b, "%d %s (%s) after %v, %s, %d x %s, %s", n.Level, n.ID, n.Kind, p.Dependencies(n),
				n.Policy.Queue, n.Policy.Attempts, mustText(n.Policy.Interval), mustText(n.Policy.Timeout))
			if n.Map != nil {
				fmt.Fprintf(&b, ", map %d", n.Map.Window)
			}
			fmt.Fprintf(&b, ", %s\n", n.Params)
		}
		for _, a := range p.Artifacts() {
			fmt.Fprintf(&b, "needs %s %s\n", a.Type, a.Digest.Short())
		}
		return b.String()
	})
}

func mustText(d Duration) string {
	b, err := d.MarshalText()
	if err != nil {
		panic(err)
	}
	return string(b)
}

// TestRunGolden drives runs by commands, one a line:
//
//	start a | finish a r1=0.5 | known a | fail a message | retry a [json] |
//	skip a why | cancel a why | approve a by why | requeue a | progress a 3 10 |
//	pause | resume | save | inputs a | details
func TestRunGolden(t *testing.T) {
	var r *Run
	runGolden(t, "run", func(c goldenCase) string {
		if c.command == "plan" {
			spec, err := Parse([]byte(c.input))
			if err != nil {
				return err.Error()
			}
			p, err := NewPlan(spec, testKinds())
			if err != nil {
				return err.Error()
			}
			r = NewRun(p)
			return states(r)
		}
		if c.command == "details" {
			return r.Details(DetailsOptions{
				Links:     []Link{{"report", "http://127.0.0.1/report"}, {"none", ""}},
				StageLink: func(id string) string { return map[string]string{"train": "http://127.0.0.1/train"}[id] },
			})
		}
		var b strings.Builder
		for line := range strings.Lines(c.input) {
			out, err := drive(r, strings.Fields(line))
			if err != nil {
				out = "error: " + err.Error() + "\n"
			}
			b.WriteString(out)
		}
		return b.String() + states(r)
	})
}

func states(r *Run) string {
	var b strings.Builder
	for _, s := range []State{Ready, Approval, Running, Waiting, Blocked, Succeeded, Skipped, Failed, Cancelled} {
		for _, id := range r.In(s) {
			fmt.Fprintf(&b, "%s: %s", id, s)
			if m := r.Status(id).Message; m != "" {
				fmt.Fprintf(&b, " (%s)", m)
			}
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "start %v", r.Ready())
	if r.Stalled() {
		b.WriteString(", stalled")
	}
	if r.Done() {
		b.WriteString(", done")
	}
	return b.String() + "\n"
}

func drive(r *Run, w []string) (string, error) {
	arg := func(n int) string {
		if n < len(w) {
			return w[n]
		}
		return ""
	}
	rest := func(n int) string { return strings.Join(w[min(n, len(w)):], " ") }
	switch w[0] {
	case "start":
		return "", r.Started(arg(1))
	case "finish", "known":
		if err := r.Can(ActionSucceed, arg(1)); err != nil {
			return "", err
		}
		return "", r.Succeeded(arg(1), resultOf(r, arg(1), w[0] == "known", w[2:]))
	case "empty":
		return "", r.Succeeded(arg(1), stage.Result{})
	case "fail":
		return "", r.Failed(arg(1), rest(2))
	case "retry":
		if p := rest(2); p != "" {
			return "", r.Retry(arg(1), json.RawMessage(p))
		}
		return "", r.Retry(arg(1), nil)
	case "skip":
		return "", r.Skip(arg(1), rest(2))
	case "cancel":
		return "", r.Cancel(arg(1), rest(2))
	case "cancel-all":
		r.CancelAll(rest(1))
		return "", nil
	case "approve":
		return "", r.Approve(arg(1), arg(2), rest(3))
	case "requeue":
		return "", r.Requeue(arg(1))
	case "progress":
		done, _ := strconv.ParseInt(arg(2), 10, 64)
		total, _ := strconv.ParseInt(arg(3), 10, 64)
		return "", r.Progressed(arg(1), Progress{Done: done, Total: total, Unit: arg(4), Note: rest(5)})
	case "pause":
		r.Pause()
		return "", nil
	case "resume":
		r.Resume()
		return "", nil
	case "save":
		b, err := json.Marshal(r)
		if err != nil {
			return "", err
		}
		return "", json.Unmarshal(b, r)
	case "inputs":
		q, err := r.Request(arg(1), "run-1")
		if err != nil {
			return "", err
		}
		var parts []string
		for port, as := range q.Inputs {
			for _, a := range as {
				parts = append(parts, fmt.Sprintf("%s=%s:%s", port, a.Type, a.Digest.Short()))
			}
		}
		slices.Sort(parts)
		return fmt.Sprintf("inputs %v params %s force %q\n", parts, q.Params, q.Force), nil
	}
	return "", fmt.Errorf("no command %q", w[0])
}

// resultOf makes a result with every output of the kind; the digest tells the
// stage and the output.
func resultOf(r *Run, id string, known bool, metrics []string) stage.Result {
	res := stage.Result{Seconds: 12, Cached: known, Outputs: map[string]artifact.Artifact{}, Metrics: map[string]float64{}}
	for _, o := range r.Plan().Kinds[r.Node(id).Kind].Outputs {
		res.Outputs[o.Name] = artifact.Artifact{Type: o.Type, Digest: artifact.Digest("sha256:" + id + "." + o.Name)}
	}
	for _, m := range metrics {
		name, v, _ := strings.Cut(m, "=")
		x, err := strconv.ParseFloat(v, 64)
		if err != nil {
			panic(err)
		}
		res.Metrics[name] = x
	}
	return res
}
