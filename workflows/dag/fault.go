package dag

import (
	"fmt"
	"strings"
)

// The names of the checks. A fault carries one of them, so that a program can
// tell faults apart and a person can look one up.
const (
	CheckSyntax     = "syntax"          // the text is neither YAML nor JSON
	CheckUnknownKey = "unknown-key"     // a key that nothing reads
	CheckWrongType  = "wrong-type"      // e.g. a list where a word is wanted
	CheckName       = "pipeline-name"   // the name cannot name a run
	CheckSize       = "pipeline-size"   // no stages, or too many
	CheckID         = "stage-id"        // the form of a stage's id
	CheckDuplicate  = "duplicate-id"    // two stages with one id
	CheckKind       = "unknown-kind"    // no such kind of stage
	CheckNeeds      = "needs"           // an unknown stage in needs
	CheckPort       = "unknown-port"    // an input that the kind does not have
	CheckMissing    = "missing-input"   // a required input without a source
	CheckSource     = "input-source"    // an unknown stage or output, or a malformed source
	CheckType       = "input-type"      // an output of another type than the input
	CheckPublished  = "published"       // a published version or alias that is not there
	CheckMany       = "input-list"      // a list for an input that takes one source
	CheckParams     = "params"          // parameters that their kind refuses
	CheckExpression = "expression"      // when or gate.metric
	CheckGate       = "gate"            // a gate that holds nothing
	CheckMap        = "map"             // window, max_failed, or a kind that cannot be mapped
	CheckRetry      = "retry"           // attempts, interval, timeout
	CheckQueue      = "queue"           // a queue that does not exist
	CheckDefaults   = "defaults"        // parallel, repair
	CheckSelf       = "self-dependency" // a stage that waits for itself
	CheckCycle      = "cycle"           // stages that wait for each other
)

// Fault is one thing that is wrong with a spec, and how to mend it.
type Fault struct {
	Check   string `json:"check"`           // name of the check, e.g. unknown-kind
	Stage   string `json:"stage,omitempty"` // id of the stage, where it is about one
	Line    int    `json:"line,omitempty"`  // in the text; 0 where the text is not known
	Message string `json:"message"`
}

func (f Fault) String() string {
	var b strings.Builder
	if f.Line > 0 {
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Stage != "" {
		fmt.Fprintf(&b, "stage %s: ", f.Stage)
	}
	fmt.Fprintf(&b, "%s [%s]", f.Message, f.Check)
	return b.String()
}

// CheckError holds every fault of a spec at once: those of its text in the order
// of the lines, those of its meaning in the order of the stages.
type CheckError struct {
	Pipeline string  `json:"pipeline,omitempty"`
	Faults   []Fault `json:"faults"`
}

// shownFaults bounds the message; Faults holds them all.
const shownFaults = 50

func (e *CheckError) Error() string {
	what := "the spec"
	if e.Pipeline != "" {
		what = "pipeline " + e.Pipeline
	}
	if len(e.Faults) == 1 {
		return what + ": " + e.Faults[0].String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s has %d faults:", what, len(e.Faults))
	for i, f := range e.Faults {
		if i == shownFaults {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Faults)-i)
			break
		}
		b.WriteString("\n  " + f.String())
	}
	return b.String()
}

// faults collects; its error is nil while it is empty.
type faults []Fault

func (fs *faults) add(f Fault, format string, args ...any) {
	f.Message = fmt.Sprintf(format, args...)
	*fs = append(*fs, f)
}

func (fs faults) err(pipeline string) error {
	if len(fs) == 0 {
		return nil
	}
	return &CheckError{Pipeline: pipeline, Faults: fs}
}
