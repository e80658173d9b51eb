// Package timing tells where the time of a run went, from the histories that
// the server keeps: of the run, and of the workflows of its stages.
//
// Start reading at Timings, then Read.
package timing

import (
	"time"

	"tempera/infra/artifact"
	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// Timings is where the time of a run went, in seconds. Wall is the sum of Person,
// Engine and the time in which at least one stage was in hand; docs/operations.md
// defines each.
type Timings struct {
	Run      string  `json:"run"`
	Pipeline string  `json:"pipeline"`
	Running  bool    `json:"running,omitempty"` // the figures are those up to now
	Wall     float64 `json:"wall_s"`
	Person   float64 `json:"person_s"`   // nothing to do but for a person: an approval, a repair
	Compute  float64 `json:"compute_s"`  // at least one attempt was at work
	Training float64 `json:"training_s"` // the work of the stages that make a model
	Lost     float64 `json:"lost_s"`     // attempts without a result, and the waits until the next
	Engine   float64 `json:"engine_s"`   // no attempt was at work, and it was not a person's turn
	Around   float64 `json:"around_s"`   // in attempts, outside the kind's own work: look-up, commit
	Overhead float64 `json:"overhead_s"` // Engine and Around
	// Overhead in per cent of Training and of Wall; 0 where that is 0.
	OfTraining float64 `json:"overhead_of_training_percent"`
	OfWall     float64 `json:"overhead_of_wall_percent"`
	Stages     []Stage `json:"stages"` // as the plan's
}

// Stage is where the time of one stage went, in seconds.
type Stage struct {
	ID       string  `json:"id"`
	Kind     string  `json:"kind"`
	Started  bool    `json:"started"`  // a workflow of this run computed it; its result was not known before
	Queued   float64 `json:"queued_s"` // handed out, and no attempt at work
	Ran      float64 `json:"ran_s"`    // an attempt that gave a result was at work
	Work     float64 `json:"work_s"`   // of the kind itself; summed over shards
	Attempts int     `json:"attempts"` // of all shards together
	Lost     float64 `json:"lost_s"`
}

// stageTimes collects what the histories tell of one stage.
type stageTimes struct {
	Stage
	handedOut, good, lost spans
}

func (s *stageTimes) sum() Stage {
	out := s.Stage
	out.Ran = s.good.length()
	out.Lost = s.lost.sum()
	out.Queued = s.handedOut.length() - append(append(spans{}, s.good...), s.lost...).length()
	return out
}

// add takes an activity of the stage's kind.
func (s *stageTimes) add(a attempt) (around float64) {
	s.Attempts += a.number
	s.handedOut = append(s.handedOut, span{a.scheduled, a.ended})
	if a.number > 1 {
		// History keeps when the last attempt began, and the number of those before.
		s.lost = append(s.lost, span{a.scheduled, a.began})
	}
	if a.open {
		s.good = append(s.good, span{a.began, a.ended})
		return 0
	}
	if a.result == nil {
		s.lost = append(s.lost, span{a.began, a.ended})
		return 0
	}
	s.good = append(s.good, span{a.began, a.ended})
	work := 0.0
	if !a.result.Cached {
		work = min(a.result.Seconds, a.ended.Sub(a.began).Seconds())
	}
	s.Work += work
	return a.ended.Sub(a.began).Seconds() - work
}

// summarise puts the figures together.
func summarise(r *runHistory, stages map[string]*stageTimes) *Timings {
	t := &Timings{Run: r.id, Pipeline: r.plan.Name, Running: r.running, Wall: r.ended.Sub(r.began).Seconds(), Around: r.around}
	var atWork, inHand spans
	for i := range r.plan.Nodes {
		n := &r.plan.Nodes[i]
		s := stages[n.ID]
		if s == nil {
			t.Stages = append(t.Stages, Stage{ID: n.ID, Kind: n.Kind})
			continue
		}
		sum := s.sum()
		t.Stages = append(t.Stages, sum)
		t.Lost += sum.Lost
		if makesModel(r.plan.Kinds[n.Kind]) {
			t.Training += sum.Work
		}
		atWork = append(append(atWork, s.good...), s.lost...)
	}
	inHand = append(append(append(inHand, atWork...), r.waits...), r.elsewhere...).within(span{r.began, r.ended})
	gaps := inHand.gaps(span{r.began, r.ended})
	t.Compute = atWork.within(span{r.began, r.ended}).length()
	t.Person = gaps.before(r.answers).length()
	for _, repair := range r.repairs {
		t.Person += gaps.within(repair).length()
	}
	t.Engine = gaps.length() - t.Person
	t.Overhead = t.Engine + t.Around
	t.OfTraining, t.OfWall = percent(t.Overhead, t.Training), percent(t.Overhead, t.Wall)
	return t
}

// makesModel tells the kinds that train from those that do not.
func makesModel(d stage.Descriptor) bool {
	for _, p := range d.Outputs {
		if p.Type == artifact.TypeModel {
			return true
		}
	}
	return false
}

func percent(part, of float64) float64 {
	if of <= 0 {
		return 0
	}
	return 100 * part / of
}

// runHistory is what the run's own history tells.
type runHistory struct {
	id           string
	plan         *dag.Plan
	began, ended time.Time
	running      bool
	children     []child
	answers      []time.Time // of a person: updates that were taken
	repairs      spans       // waits for a repair that did not come
	elsewhere    spans       // another run computed a stage
	waits        spans       // between attempts of a stage, as its policy wants
	around       float64
}

// child is a workflow that computed a stage.
type child struct {
	request       stage.Request
	workflow, run string
}

// attempt is an activity of a kind, from its being handed out to its end.
type attempt struct {
	scheduled, began, ended time.Time
	number                  int // of the attempt that ended; counts from 1, 0: none was begun
	open                    bool
	result                  *stage.Result
}
