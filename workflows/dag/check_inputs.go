package dag

import (
	"fmt"
	"slices"
	"strings"

	"tempera/workflows/stage"
)

// inputs checks the ports of stage i and what feeds them.
func (c *checker) inputs(i int, fault func(check, format string, args ...any)) {
	s, kind := &c.spec.Stages[i], c.kinds[i]
	for _, name := range sortedPorts(s.Inputs) {
		sources, at := s.Inputs[name], "inputs."+name
		var port *stage.Port
		if kind != nil {
			if port = portOf(kind.Inputs, name); port == nil {
				fault(CheckPort, "%s: kind %s has no such input: %s", at, s.Kind, instead(name, portNames(kind.Inputs)))
			}
		}
		if port != nil && !port.Many && len(sources) > 1 {
			fault(CheckMany, "%s takes one source and has %d: keep one, or merge them in a stage before", at, len(sources))
		}
		for _, source := range sources {
			c.source(i, source, at, port)
		}
	}
	if kind == nil {
		return
	}
	for _, p := range kind.Inputs {
		if !p.Optional && len(s.Inputs[p.Name]) == 0 {
			fault(CheckMissing, "input %s (%s) has no source: add inputs: {%s: <stage>.<output>}%s",
				p.Name, typeName(p.Type), p.Name, c.offers(i, p.Types()))
		}
	}
}

// source checks one source of a port; port is nil where the port is not known.
func (c *checker) source(i int, text, at string, port *stage.Port) {
	fault := c.faultAt(i)
	src, err := ParseSource(text)
	if err != nil {
		fault(CheckSource, "%s: %v", at, err)
		return
	}
	if given := src.Type(); given != "" {
		if port != nil && !port.Takes(given) {
			fault(CheckType, "%s takes %s and is given %s: use an artifact of the right type%s",
				at, typeName(port.Type), typeName(given), c.offers(i, port.Types()))
		}
		return
	}
	if !c.depend(i, src.Stage, at, CheckSource) {
		return
	}
	from := c.kinds[c.ids[src.Stage]]
	if from == nil {
		return
	}
	out := portOf(from.Outputs, src.Output)
	if out == nil {
		fault(CheckSource, "%s: stage %s (%s) has no output %q: %s",
			at, src.Stage, from.Name, src.Output, instead(src.Output, portNames(from.Outputs)))
		return
	}
	if port != nil && out.Type != "" && !port.Takes(out.Type) {
		fault(CheckType, "%s takes %s, but %s is %s: name an output of the right type%s",
			at, typeName(port.Type), text, typeName(out.Type), c.offers(i, port.Types()))
	}
}

// offers lists a few outputs of some types that stage i could take: those of the
// stages before it in the spec.
func (c *checker) offers(i int, types []string) string {
	const shown = 3
	var found []string
	for _, typ := range types {
		for _, o := range c.types[typ] {
			id, _, _ := strings.Cut(o, ".")
			if c.ids[id] >= i || len(found) == shown {
				break
			}
			found = append(found, o)
		}
	}
	if len(found) == 0 {
		return ""
	}
	return fmt.Sprintf(", e.g. %s", strings.Join(found, " or "))
}

func typeName(t string) string {
	switch {
	case t == "":
		return "any artifact"
	case strings.Contains(t, "|"):
		var names []string
		for _, one := range strings.Split(t, "|") {
			names = append(names, typeName(one))
		}
		return strings.Join(names, " or ")
	case strings.ContainsRune("aeiou", rune(t[0])):
		return "an " + t
	}
	return "a " + t
}

func portOf(ports []stage.Port, name string) *stage.Port {
	for i := range ports {
		if ports[i].Name == name {
			return &ports[i]
		}
	}
	return nil
}

func portNames(ports []stage.Port) []string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return names
}

// cycles reports every set of stages that wait for each other, once.
func (c *checker) cycles() {
	left := make([]bool, len(c.after))
	for i := range left {
		left[i] = true
	}
	for _, i := range c.topological() {
		left[i] = false
	}
	done := make([]bool, len(left))
	for i := range left {
		// Every stage that is left waits for another that is left, so that
		// following these must come back to a stage seen on the way.
		var path []edge
		at := make(map[int]int)
		for j := i; left[j] && !done[j]; {
			done[j] = true
			at[j] = len(path)
			k := slices.IndexFunc(c.after[j], func(e edge) bool { return left[e.to] })
			e := c.after[j][k]
			path = append(path, edge{j, e.why})
			if start, again := at[e.to]; again {
				c.cycle(path[start:])
				break
			}
			j = e.to
		}
	}
}

func (c *checker) cycle(path []edge) {
	const shown = 12
	var names, parts []string
	for n, e := range path {
		if n == shown {
			names = append(names, "...")
			break
		}
		id := c.spec.Stages[e.to].ID
		names = append(names, id)
		parts = append(parts, id+"."+e.why)
	}
	names = append(names, names[0])
	c.faults.add(Fault{Check: CheckCycle, Stage: names[0]},
		"stages wait for each other: %s; break it by removing one of these: %s", strings.Join(names, " -> "), strings.Join(parts, ", "))
}

// topological orders the stages so that each comes after those it waits for,
// and otherwise as the spec has them. Stages in cycles, and those that wait for
// them, are left out.
func (c *checker) topological() []int {
	n := len(c.after)
	waits, next := make([]int, n), make([][]int, n)
	for i, edges := range c.after {
		waits[i] = len(edges)
		for _, e := range edges {
			next[e.to] = append(next[e.to], i)
		}
	}
	var ready intHeap
	for i, w := range waits {
		if w == 0 {
			ready.push(i)
		}
	}
	order := make([]int, 0, n)
	for len(ready) > 0 {
		i := ready.pop()
		order = append(order, i)
		for _, j := range next[i] {
			if waits[j]--; waits[j] == 0 {
				ready.push(j)
			}
		}
	}
	return order
}
