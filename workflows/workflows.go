// Package workflows orders the stages of pipelines. Pipeline runs a spec; a
// named workflow builds one from its parameters and runs it the same way; each
// stage is a child workflow Stage, whose ID carries the stage's key.
//
// Nothing here knows what a kind of stage does: kinds are activities that are
// called by name. Start reading at Pipeline, then driver, then Stage.
package workflows

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"tempera/workflows/dag"
	"tempera/workflows/stage"
)

// The names of the workflows that are not in All.
const (
	PipelineName = "Pipeline"
	StageName    = "Stage"
)

// Named is a workflow that builds a spec from parameters and runs it.
type Named struct {
	Name     string
	Doc      string          // one line
	Defaults json.RawMessage // the parameters that {} stands for
	Schema   json.RawMessage // of the parameters
	// Spec checks parameters, JSON over the defaults, and builds the spec. Its
	// error is a *ParamsError with every fault.
	Spec func(params []byte) (*dag.Spec, error)
}

// All lists the named workflows. Adding one is one file and one line here.
func All() []Named {
	return []Named{
		named("CaptionBootstrap", "BLIP's caption bootstrapping: captioner and filter clean a noisy image-text set; a new model is trained on it and compared.",
			CaptionBootstrapDefaults(), CaptionBootstrapSpec),
		named("Pretrain", "Trains a model from initial weights, a language model on text or one of image-text pairs; measures it, publishes it, and reports.",
			PretrainDefaults(), PretrainSpec),
		named("SFT", "Fine-tunes a language model on demonstrations, measures what it solves before and after, publishes it, and reports.", SFTDefaults(), SFTSpec),
		named("RewardModel", "Learns what is preferred from pairs of completions, and measures how often it is right.", RewardModelDefaults(), RewardModelSpec),
		named("DPO", "Learns from preferences directly (DPO, IPO, hinge, KTO, ORPO, SimPO), in rounds on its own completions where wanted.", DPODefaults(), DPOSpec),
		named("PPO", "Reinforces what a reward model likes, held to the model that it started from.", PPODefaults(), PPOSpec),
		named("R1Zero", "Reinforces right answers by rules alone, beside a control that reads more demonstrations.", R1ZeroDefaults(), R1ZeroSpec),
		named("R1", "Cold start, reinforcement, rejection sampling, fine-tuning on the mixture, reinforcement on all scenarios, with gates between.", R1Defaults(), R1Spec),
		named("Distill", "A smaller model learns from the accepted completions of a teacher, and from its probabilities where wanted.", DistillDefaults(), DistillSpec),
		named("Search", "Searches for answers at inference: best of n, votes, beams and trees with verifiers of steps and of outcomes, at equal tokens.", SearchDefaults(), SearchSpec),
		named("Evaluate", "Measures a model on problems or by likelihood, beside a baseline, and promotes it behind a gate.", EvaluateDefaults(), EvaluateSpec),
		named("PostTraining", "SFT, reward model, PPO or DPO or R1, evaluation and promotion in one chain; each part can be a model that exists.", PostTrainingDefaults(), PostTrainingSpec),
	}
}

// Find returns the named workflow, or an error that lists what there is.
func Find(name string) (Named, error) {
	all := All()
	names := make([]string, len(all))
	for i, n := range all {
		if n.Name == name {
			return n, nil
		}
		names[i] = n.Name
	}
	if near, ok := dag.Nearest(name, names); ok {
		return Named{}, fmt.Errorf("there is no workflow %q: did you mean %q?", name, near)
	}
	return Named{}, fmt.Errorf("there is no workflow %q: there are %s, and %s for a spec", name, strings.Join(names, ", "), PipelineName)
}

// named makes a Named of the parameters struct P, see dag.DecodeParams.
func named[P any](name, doc string, defaults P, build func(P) (*dag.Spec, error)) Named {
	raw, err := json.Marshal(defaults)
	if err != nil {
		panic(fmt.Sprintf("defaults of workflow %s: %v", name, err))
	}
	return Named{
		Name: name, Doc: doc, Defaults: raw, Schema: stage.SchemaFor[P](),
		Spec: func(params []byte) (*dag.Spec, error) {
			p, faults := dag.DecodeParams(defaults, params)
			if len(faults) > 0 {
				return nil, &ParamsError{Workflow: name, Found: faults}
			}
			return build(p)
		},
	}
}

// ParamsError holds every fault of a named workflow's parameters.
type ParamsError struct {
	Workflow string
	Found    []string
}

func (e *ParamsError) Error() string {
	return fmt.Sprintf("parameters of %s: %s", e.Workflow, strings.Join(e.Found, "; "))
}

// Faults lists the faults.
func (e *ParamsError) Faults() []string { return e.Found }

// Register lets a worker run every workflow.
func Register(w worker.WorkflowRegistry) {
	w.RegisterWorkflowWithOptions(Pipeline, workflow.RegisterOptions{Name: PipelineName})
	w.RegisterWorkflowWithOptions(Stage, workflow.RegisterOptions{Name: StageName})
	for _, n := range All() {
		run := func(ctx workflow.Context, params json.RawMessage) (*Outcome, error) {
			spec, err := n.Spec(params)
			if err != nil {
				return nil, invalidPipeline(err)
			}
			return runSpec(ctx, spec)
		}
		w.RegisterWorkflowWithOptions(run, workflow.RegisterOptions{Name: n.Name})
	}
}
