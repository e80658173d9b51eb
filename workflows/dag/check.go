package dag

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"tempera/workflows/stage"
)

// Catalog knows the kinds of stage.
type Catalog interface {
	// Kind returns the descriptor of a kind.
	Kind(name string) (stage.Descriptor, bool)
	// Names lists the kinds in a fixed order.
	Names() []string
	// Resolve fills the defaults into params, which may be nil, and returns them
	// in full. An error that has Faults() []string or Unwrap() []error reports
	// several faults.
	Resolve(kind string, params json.RawMessage) (json.RawMessage, error)
}

// Check returns nil for a spec that can be run, and a *CheckError with every
// fault otherwise.
func Check(spec *Spec, catalog Catalog) error {
	return newChecker(spec, catalog).check()
}

// checker walks a spec once and gathers what the plan needs on the way.
type checker struct {
	spec     *Spec
	catalog  Catalog
	faults   faults
	ids      map[string]int // of the first stage with the id
	order    []string       // the ids in the order of the spec
	kinds    []*stage.Descriptor
	after    [][]edge
	resolved []json.RawMessage
	cache    map[string]resolution // by kind and parameters
	types    map[string][]string   // outputs "stage.output" by type
	seen     []int                 // seen[i] == j+1: j waits for i already
}

// edge says which stage another waits for, and by which part of the spec.
type edge struct {
	to  int
	why string
}

type resolution struct {
	params json.RawMessage
	err    error
}

func newChecker(spec *Spec, catalog Catalog) *checker {
	n := len(spec.Stages)
	return &checker{
		spec: spec, catalog: catalog,
		ids:   make(map[string]int, n),
		kinds: make([]*stage.Descriptor, n), after: make([][]edge, n),
		resolved: make([]json.RawMessage, n), seen: make([]int, n),
		cache: map[string]resolution{}, types: map[string][]string{},
	}
}

func (c *checker) check() error {
	c.pipeline()
	if n := len(c.spec.Stages); n == 0 || n > maxStages {
		return c.faults.err(c.spec.Name)
	}
	c.index()
	for i := range c.spec.Stages {
		c.stage(i)
	}
	c.device()
	c.cycles()
	return c.faults.err(c.spec.Name)
}

var runName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (c *checker) pipeline() {
	fault := func(check, format string, args ...any) {
		c.faults.add(Fault{Check: check}, format, args...)
	}
	s := c.spec
	switch {
	case s.Name == "":
		fault(CheckName, "the pipeline has no name: add name: %s", "my-pipeline")
	case !runName.MatchString(s.Name):
		fault(CheckName, "name %q cannot name a folder of runs: use lower-case letters, digits, - and _, at most 63, e.g. %s",
			s.Name, usableName(s.Name))
	}
	switch n := len(s.Stages); {
	case n == 0:
		fault(CheckSize, "the pipeline has no stages: add at least one under stages")
	case n > maxStages:
		fault(CheckSize, "the pipeline has %d stages: at most %d can run; use map for many alike, or split the pipeline", n, maxStages)
	}
	if p := s.Defaults.Parallel; p < 0 || p > maxParallel {
		fault(CheckDefaults, "defaults.parallel is %d: use 1 to %d, or leave it out for %d", p, maxParallel, DefaultParallel)
	}
	checkDuration(s.Defaults.Repair, bounds{"defaults.repair", 0, maxRepair}, CheckDefaults, fault)
	checkRetry(s.Defaults.Retry, "defaults.retry", fault)
	checkResources(s.Defaults.Resources, "defaults.resources", fault)
}

// usableName makes a name of what was meant as one.
func usableName(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
		if b.Len() == 63 {
			break
		}
	}
	if name := strings.Trim(b.String(), "-_"); name != "" {
		return name
	}
	return "my-pipeline"
}

// reserved words of expressions cannot be ids.
var reserved = []string{
	"and", "or", "not", "in", "true", "false", "nil", "let", "if", "else",
	"contains", "matches", "startswith", "endswith",
}

// index learns the ids and outputs before the stages are looked at one by one.
func (c *checker) index() {
	for i := range c.spec.Stages {
		s := &c.spec.Stages[i]
		if d, ok := c.catalog.Kind(s.Kind); ok {
			c.kinds[i] = &d
		}
		if _, there := c.ids[s.ID]; there {
			continue
		}
		c.ids[s.ID] = i
		c.order = append(c.order, s.ID)
		if c.kinds[i] == nil {
			continue
		}
		for _, o := range c.kinds[i].Outputs {
			c.types[o.Type] = append(c.types[o.Type], s.ID+"."+o.Name)
		}
	}
}

func (c *checker) stage(i int) {
	s := &c.spec.Stages[i]
	fault := c.faultAt(i)
	c.identity(i, fault)
	for _, id := range s.Needs {
		c.depend(i, id, "needs", CheckNeeds)
	}
	c.inputs(i, fault)
	c.params(i, fault)
	c.expression(i, s.When, "when")
	if s.Gate != nil {
		if s.Gate.Metric == "" && !s.Gate.Approval {
			fault(CheckGate, "the gate holds nothing back: give it a metric or approval: true, or remove it")
		}
		c.expression(i, s.Gate.Metric, "gate.metric")
	}
	c.mapped(i, fault)
	checkRetry(s.Retry, "retry", fault)
	checkResources(s.Resources, "resources", fault)
}

func (c *checker) faultAt(i int) func(check, format string, args ...any) {
	id := c.spec.Stages[i].ID
	if id == "" {
		id = fmt.Sprintf("[%d]", i)
	}
	return func(check, format string, args ...any) {
		c.faults.add(Fault{Check: check, Stage: id}, format, args...)
	}
}

func (c *checker) identity(i int, fault func(check, format string, args ...any)) {
	s := &c.spec.Stages[i]
	switch {
	case s.ID == "":
		fault(CheckID, "the stage has no id: add id, e.g. %s", strings.ReplaceAll(usableName(s.Kind), "-", "_"))
	case !word.MatchString(s.ID) || len(s.ID) > 63:
		fault(CheckID, "an id begins with a lower-case letter and goes on with letters, digits and _, at most 63, e.g. %s",
			strings.ReplaceAll(strings.TrimLeft(usableName(s.ID), "0123456789_-"), "-", "_"))
	case slices.Contains(reserved, s.ID):
		fault(CheckID, "%q is a word of expressions: call the stage something else, e.g. %[1]s_stage", s.ID)
	case c.ids[s.ID] != i:
		fault(CheckDuplicate, "stages %d and %d have the same id: rename one", c.ids[s.ID]+1, i+1)
	}
	switch {
	case s.Kind == "":
		fault(CheckKind, "the stage has no kind: there are %s", strings.Join(c.catalog.Names(), ", "))
	case c.kinds[i] == nil:
		fault(CheckKind, "there is no kind %q: %s", s.Kind, instead(s.Kind, c.catalog.Names()))
	}
}

// depend makes stage i wait for the stage with the id.
func (c *checker) depend(i int, id, why, check string) bool {
	j, ok := c.ids[id]
	switch {
	case !ok:
		c.faultAt(i)(check, "%s: there is no stage %q%s", why, id, c.instead(id))
		return false
	case j == i:
		c.faultAt(i)(CheckSelf, "%s: the stage waits for itself: remove it from %[1]s", why)
		return false
	}
	if c.seen[j] != i+1 {
		c.seen[j] = i + 1
		c.after[i] = append(c.after[i], edge{j, why})
	}
	return true
}

// instead suggests a stage, as long as there are few faults: comparing each of
// thousands of unknown ids with thousands of known ones would take minutes.
func (c *checker) instead(id string) string {
	if len(c.faults) > 2*shownFaults {
		return ""
	}
	return ": " + instead(id, c.order)
}

func (c *checker) params(i int, fault func(check, format string, args ...any)) {
	s := &c.spec.Stages[i]
	if c.kinds[i] == nil {
		return
	}
	given := c.spec.Defaults.onDevice(s.Params, *c.kinds[i])
	key := s.Kind + "\n" + string(given)
	r, ok := c.cache[key]
	if !ok {
		r.params, r.err = c.catalog.Resolve(s.Kind, given)
		c.cache[key] = r
	}
	c.resolved[i] = r.params
	if s.Resources.or(stage.GPU) != stage.GPU && wantsGPU(r.params, *c.kinds[i]) {
		fault(CheckQueue, "resources.queue is %s, and device wants a GPU, which the queue gpu has: leave one of them out", s.Resources.Queue)
	}
	for _, message := range messagesOf(r.err) {
		fault(CheckParams, "%s", message)
	}
}

// device finds a default that no stage takes.
func (c *checker) device() {
	d := c.spec.Defaults
	takes := func(k *stage.Descriptor) bool { return k == nil || k.HasParameter(deviceParam) } // an unknown kind has its own fault
	if d.Device+d.Precision != "" && !slices.ContainsFunc(c.kinds, takes) {
		c.faults.add(Fault{Check: CheckDefaults}, "defaults.device and defaults.precision are for stages that compute with models, and there are none: remove them")
	}
}

// messagesOf splits an error that reports several faults.
func messagesOf(err error) []string {
	if err == nil {
		return nil
	}
	var several interface{ Faults() []string }
	if errors.As(err, &several) {
		return several.Faults()
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var messages []string
		for _, e := range joined.Unwrap() {
			messages = append(messages, messagesOf(e)...)
		}
		return messages
	}
	return []string{err.Error()}
}

func (c *checker) expression(i int, source, at string) {
	if source == "" {
		return
	}
	e, err := ParseExpression(source)
	if err != nil {
		c.faultAt(i)(CheckExpression, "%s: %v", at, err)
		return
	}
	for _, id := range e.Stages() {
		c.depend(i, id, at, CheckExpression)
	}
}

func (c *checker) mapped(i int, fault func(check, format string, args ...any)) {
	s, kind := &c.spec.Stages[i], c.kinds[i]
	if s.Map == nil {
		return
	}
	if w := s.Map.Window; w < 0 || w > maxWindow {
		fault(CheckMap, "map.window is %d: use 1 to %d, or leave it out for %d", w, maxWindow, DefaultWindow)
	}
	if _, err := ParseBudget(s.Map.MaxFailed); err != nil {
		fault(CheckMap, "map.max_failed: %v", err)
	}
	if kind == nil {
		return
	}
	if kind.Map == "" {
		fault(CheckMap, "kind %s cannot be mapped: remove map (%s)", s.Kind, c.mappable())
		return
	}
	if n := len(s.Inputs[kind.Map]); n != 1 {
		fault(CheckMap, "map runs over input %s, which has %d sources: give it one", kind.Map, n)
	}
}

func (c *checker) mappable() string {
	var names []string
	for _, name := range c.catalog.Names() {
		if d, ok := c.catalog.Kind(name); ok && d.Map != "" {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "no kind can be"
	}
	return "these can be: " + strings.Join(names, ", ")
}

// repairOf returns how long a failed run waits to be repaired.
func repairOf(d Defaults) Duration {
	if v, err := time.ParseDuration(d.Repair); err == nil {
		return Duration(v)
	}
	return Duration(DefaultRepair)
}
