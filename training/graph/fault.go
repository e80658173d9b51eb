package graph

import (
	"fmt"
	"strings"
)

// Fault is a mistake in the definition of a graph: shapes that do not fit, a name used twice. Definitions panic
// with it, so that model code reads as formulas; Build turns it into an error.
type Fault struct {
	Op     string   // operation or method
	Inputs []string // name and shape of each operand
	Reason string
}

func (f *Fault) Error() string {
	if len(f.Inputs) == 0 {
		return fmt.Sprintf("graph: %s: %s", f.Op, f.Reason)
	}
	return fmt.Sprintf("graph: %s(%s): %s", f.Op, strings.Join(f.Inputs, ", "), f.Reason)
}

func fault(op, format string, args ...any) {
	panic(&Fault{Op: op, Reason: fmt.Sprintf(format, args...)})
}

func faultOf(op string, in []*Node, reason string) *Fault {
	f := &Fault{Op: op, Reason: reason}
	for _, n := range in {
		f.Inputs = append(f.Inputs, n.String())
	}
	return f
}

// Recover turns a Fault that is being panicked with into *err; other panics go on. Use it deferred.
func Recover(err *error) {
	switch r := recover().(type) {
	case nil:
	case *Fault:
		*err = r
	default:
		panic(r)
	}
}
