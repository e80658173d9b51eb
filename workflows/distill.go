package workflows

import (
	"errors"

	"tempera/workflows/dag"
)

// DistillParams are the parameters of the workflow Distill. Defaults come from DistillDefaults, and {} runs them.
type DistillParams struct {
	PostCommon
	Rows      PostRows       `json:"rows" doc:"Problems; a new teacher reads demonstrations of them first."`
	Teacher   PostModel      `json:"teacher" doc:"Who teaches: a model that is given, or a new one that becomes good by reinforcement."`
	Base      PostFit        `json:"base" doc:"Training of a new teacher on demonstrations."`
	RL        PostRL         `json:"rl" doc:"Reinforcement of a new teacher."`
	Student   PostModel      `json:"student" doc:"Who learns: a smaller model."`
	Rejection PostRejection  `json:"traces" doc:"Right completions of the teacher."`
	SFT       PostFit        `json:"sft" doc:"Training of the student on them."`
	Logits    *PostLogits    `json:"logits,omitempty" doc:"Learns the teacher's probabilities of every token besides: teacher and student must share the tokenizer."`
	Controls  *PostControls  `json:"controls,omitempty" doc:"What the distilled student is held against; absent: nothing."`
	Evaluate  PostEvaluation `json:"evaluate" doc:"How the models are measured."`
}

// PostLogits is distillation of probabilities.
type PostLogits struct {
	PostFit
	Temperature float64 `json:"temperature" doc:"That both distributions are softened by." above:"0"`
	Weight      float64 `json:"weight" doc:"Weight of the teacher's distributions in the loss; the rest is that of the completions." min:"0" max:"1"`
}

// PostControls are other ways for a student to spend the same computation.
type PostControls struct {
	Start PostFit `json:"start" doc:"Training of the student on demonstrations before its own reinforcement."`
	RL    PostRL  `json:"rl" doc:"Reinforcement of the student."`
	Gold  bool    `json:"gold" doc:"Adds a student that learns from as many demonstrations as the teacher gave traces."`
}

// DistillDefaults are what {} runs: sums, a teacher of width 64 and a student of width 40.
func DistillDefaults() DistillParams {
	student := smallLlama()
	student.Width = 40
	return DistillParams{
		PostCommon: postCommon("distill"), Rows: arithmeticRows(), Teacher: smallLlama(), Base: coldStart(), RL: reasoningRL(), Student: student,
		Rejection: PostRejection{Prompts: 2000, Samples: 4, PerPrompt: 2, MaxTokens: 48},
		SFT:       PostFit{Epochs: 12, Batch: 16, LearningRate: 4e-3, WarmUp: 50},
		Evaluate:  PostEvaluation{By: "tasks", Samples: 4, MaxTokens: 48},
	}
}

// Validate returns every fault that no single field shows.
func (p DistillParams) Validate() error {
	faults := append(p.Rows.faults("rows"), p.RL.faults("rl"), p.Evaluate.fault(p.Rows))
	if p.Controls != nil {
		faults = append(faults, p.Controls.RL.faults("controls.rl"))
	}
	if p.Student.From != "" && p.Student.From == p.Teacher.From {
		faults = append(faults, errors.New("student and teacher are the same model"))
	}
	return errors.Join(faults...)
}

// DistillSpec builds the pipeline: a teacher, its right completions, a student that learns from them, controls, evaluation, publication, report.
func DistillSpec(p DistillParams) (*dag.Spec, error) {
	return post(newChain(p.PostCommon, "A smaller model learns from the accepted traces of a teacher", p.Evaluate.metrics()...), p.repeat)
}

// repeat adds one repetition.
func (p DistillParams) repeat(c *chain) made {
	rows := c.rows("rows", p.Rows, "demonstrations")
	teacher := c.start("init", p.Teacher, dag.Inputs{rows.train})
	if p.Teacher.From == "" {
		base := c.sft("base", teacher, dag.Inputs{rows.train}, p.Base)
		teacher = c.reinforce("teacher", taught{base, dag.Inputs{rows.train}, rows.test, ""}, p.RL)
	}
	c.evaluate(measured{"evaluate_teacher", "teacher", teacher, rows.test, ""}, p.Evaluate)
	traces := c.accepted("traces", teacher, rows.train, p.Rejection)
	start := c.start("student", p.Student, dag.Inputs{rows.train})
	baseline := c.controls(p, start, rows)
	model := c.sft("sft", start, dag.Inputs{traces}, p.SFT)
	if l := p.Logits; l != nil {
		model = c.train("distill", "distill", inputs{"model": {model}, "teacher": {teacher}, "data": {traces}},
			l.params(c.PostCommon).with(params{"temperature": l.Temperature, "weight": l.Weight}))
	}
	return made{model, c.evaluate(measured{"evaluate", distilled, model, rows.test, baseline}, p.Evaluate)}
}

// The arms of students.
const (
	distilled = "student, distilled"
	ownRL     = "student, own RL"
	goldSFT   = "student, demonstrations"
)

// controls adds what the distilled student is held against, and returns the evaluation that it is paired with.
func (c *chain) controls(p DistillParams, start string, rows split) (baseline string) {
	k := p.Controls
	if k == nil {
		return ""
	}
	own := c.sft("student_start", start, dag.Inputs{rows.train}, k.Start)
	own = c.reinforce("student_rl", taught{own, dag.Inputs{rows.train}, rows.test, ""}, k.RL)
	baseline = c.evaluate(measured{"evaluate_rl", ownRL, own, rows.test, ""}, p.Evaluate)
	c.holds(distilled, ownRL, 0)
	if k.Gold {
		c.holds(distilled, goldSFT, 0)
		gold := c.sft("student_gold", start, dag.Inputs{rows.train}, p.SFT)
		c.evaluate(measured{"evaluate_gold", goldSFT, gold, rows.test, ""}, p.Evaluate)
	}
	return baseline
}
