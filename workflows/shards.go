package workflows

import (
	"fmt"
	"slices"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// Shards is how far a mapped stage has come. It travels over continue-as-new:
// everything that a shard left behind is in here.
type Shards struct {
	Count       int                `json:"count"`
	Next        int                `json:"next"`                  // the first shard that was not started
	Done        int                `json:"done"`                  // shards that have a result
	Failed      []int              `json:"failed,omitempty"`      // ascending once the window is empty
	Quarantined []stage.Quarantine `json:"quarantined,omitempty"` // the first of Failed, with reasons
	Began       time.Time          `json:"began"`
}

const (
	// shardsPerRun bounds the history: a shard takes three events of its own and
	// its share of workflow tasks, in all about eight.
	shardsPerRun = 2000
	// reasonsKept bounds the quarantine list in payloads; all shards are counted.
	reasonsKept = 500
	reasonLimit = 300
)

// mapper runs the shards of one stage in one run of its workflow.
type mapper struct {
	in      StageInput
	state   *Shards
	known   stage.ShardCount // from state.Next as it was at the start of this run
	from    int
	allowed int // failures
	running int
	started int
	lastErr error // not nil: the budget is exceeded
}

// mapShards runs a stage once for each shard of its data set.
func mapShards(ctx workflow.Context, in StageInput) (stage.Result, error) {
	m := &mapper{in: in, state: in.Shards}
	if m.state == nil {
		m.state = &Shards{Began: workflow.Now(ctx)}
	}
	m.from = m.state.Next
	err := workflow.ExecuteActivity(light(ctx, "count shards"), stage.ActivityCountShards, stage.CountRequest{Request: in.Request, From: m.from}).Get(ctx, &m.known)
	if err != nil {
		return stage.Result{}, err
	}
	m.state.Count = m.known.Count
	budget, err := dag.ParseBudget(in.Map.MaxFailed)
	if err != nil {
		return stage.Result{}, invalidPipeline(err)
	}
	m.allowed = budget.Allows(m.state.Count)
	if err := workflow.SetQueryHandlerWithOptions(ctx, stage.QueryProgress, m.progress, workflow.QueryHandlerOptions{Description: "shards done"}); err != nil {
		return stage.Result{}, err
	}
	if err := m.run(ctx); err != nil {
		return stage.Result{}, err
	}
	slices.Sort(m.state.Failed)
	if m.state.Next < m.state.Count {
		in.Shards = m.state
		return stage.Result{}, workflow.NewContinueAsNewError(ctx, StageName, in)
	}
	return m.collect(ctx)
}

func (m *mapper) progress() (dag.Progress, error) {
	p := dag.Progress{Done: int64(m.state.Done), Total: int64(m.state.Count), Unit: "shards"}
	if n := len(m.state.Failed); n > 0 {
		p.Note = fmt.Sprintf("%d failed", n)
	}
	return p, nil
}

// run starts shards until all are done, the budget is exceeded, or the history
// is long enough; then it waits for those in flight.
func (m *mapper) run(ctx workflow.Context) error {
	for {
		for m.more(ctx) {
			i := m.state.Next
			m.state.Next++
			if m.known.Has(i - m.from) {
				m.state.Done++
				continue
			}
			m.started++
			m.running++
			workflow.Go(ctx, func(ctx workflow.Context) { m.shard(ctx, i) })
		}
		m.show(ctx)
		if m.running == 0 {
			break
		}
		before := m.running
		if err := workflow.Await(ctx, func() bool { return m.running < before }); err != nil {
			return m.drain(ctx, err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.lastErr != nil {
		return temporal.NewNonRetryableApplicationError(fmt.Sprintf(
			"%d of %d shards failed, %d may (max_failed: %q); the last one with: %s", len(m.state.Failed), m.state.Count, m.allowed, m.in.Map.MaxFailed, message(m.lastErr)),
			errorType(m.lastErr), m.lastErr)
	}
	return nil
}

// more tells whether another shard may be started.
func (m *mapper) more(ctx workflow.Context) bool {
	return ctx.Err() == nil && m.lastErr == nil && m.state.Next < m.state.Count && m.running < m.in.Map.Window &&
		m.started < shardsPerRun && (m.started == 0 || !workflow.GetInfo(ctx).GetContinueAsNewSuggested())
}

// shard runs one shard and notes what became of it.
func (m *mapper) shard(ctx workflow.Context, i int) {
	q := m.in.Request
	q.Shard = &stage.Shard{Index: i, Count: m.state.Count}
	summary := ""
	if m.state.Count <= summaryLimit {
		summary = fmt.Sprintf("%s: shard %d of %d", q.Stage, i+1, m.state.Count)
	}
	_, err := attempts(ctx, m.in, q, summary)
	m.running--
	switch {
	case err == nil:
		m.state.Done++
	case temporal.IsCanceledError(err):
	default:
		m.state.Failed = append(m.state.Failed, i)
		if len(m.state.Quarantined) < reasonsKept {
			m.state.Quarantined = append(m.state.Quarantined, stage.Quarantine{Item: fmt.Sprintf("shard %d", i), Reason: cut(message(err), reasonLimit)})
		}
		if len(m.state.Failed) > m.allowed {
			m.lastErr = err
		}
	}
}

func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "..."
	}
	return s
}

// drain waits for cancelled shards: they checkpoint first.
func (m *mapper) drain(ctx workflow.Context, cause error) error {
	detached, _ := workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(detached, func() bool { return m.running == 0 }); err != nil {
		return err
	}
	return cause
}

func (m *mapper) show(ctx workflow.Context) {
	text := fmt.Sprintf("**%s**: %d of %d shards done, %d in flight", m.in.Stage, m.state.Done, m.state.Count, m.running)
	if n := len(m.state.Failed); n > 0 {
		text += fmt.Sprintf(", %d failed (%d may)", n, m.allowed)
	}
	for _, q := range m.state.Quarantined[:min(len(m.state.Quarantined), 10)] {
		text += fmt.Sprintf("\n\n%s: %s", q.Item, q.Reason)
	}
	workflow.SetCurrentDetails(ctx, text)
}

// collect makes one result of the shards' results.
func (m *mapper) collect(ctx workflow.Context) (stage.Result, error) {
	items := slices.Clone(m.state.Quarantined)
	if more := len(m.state.Failed) - len(items); more > 0 {
		items = append(items, stage.Quarantine{Item: fmt.Sprintf("%d more shards", more), Reason: "see the logs of their attempts"})
	}
	var res stage.Result
	err := workflow.ExecuteActivity(light(ctx, "collect shards"), stage.ActivityCollect, stage.CollectRequest{
		Request: m.in.Request, Count: m.state.Count, Quarantined: items, Missing: m.state.Failed,
		Seconds: workflow.Now(ctx).Sub(m.state.Began).Seconds(),
	}).Get(ctx, &res)
	return res, err
}
