package dag

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"
)

// Expression is a condition over the metrics of stages, e.g.
//
//	eval.r1 > baseline.r1 + 0.01 and eval.loss < 3
//
// It knows numbers, true and false, metrics (stage.metric, or
// stage["recall@1"] where the name is no word), + - * / ^, comparisons,
// and/or/not, c ? a : b, and abs, min, max, floor, ceil, round. There is
// nothing in it that could have an effect or give another answer the next time.
type Expression struct {
	source string
	root   ast.Node
	refs   []reference
}

// reference is a metric that an expression reads.
type reference struct{ stage, metric string }

// maxExpression bounds the length of an expression, in bytes.
const maxExpression = 4096

// value is a number or a truth.
type value struct {
	kind   kind
	number float64
	truth  bool
}

type kind uint8

const (
	isNumber kind = iota
	isTruth
)

func (k kind) String() string { return [...]string{"a number", "true or false"}[k] }

func truth(t bool) value { return value{kind: isTruth, truth: t} }

// ParseExpression compiles a condition. An expression that is a number, not a
// condition, is an error.
func ParseExpression(source string) (*Expression, error) {
	if strings.TrimSpace(source) == "" {
		return nil, errors.New("the expression is empty: leave the key out")
	}
	if len(source) > maxExpression {
		return nil, fmt.Errorf("the expression has %d bytes: at most %d are read", len(source), maxExpression)
	}
	tree, err := parser.Parse(source)
	if err != nil {
		message, _, _ := strings.Cut(err.Error(), "\n")
		return nil, fmt.Errorf("%q cannot be read: %s", source, message)
	}
	e := &Expression{source: source, root: tree.Node}
	check := evaluation{everyBranch: true, metric: func(r reference) (float64, error) {
		if !slices.Contains(e.refs, r) {
			e.refs = append(e.refs, r)
		}
		return 1, nil
	}}
	v, err := check.eval(e.root)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", source, err)
	}
	if v.kind != isTruth {
		return nil, fmt.Errorf("%q is a number: compare it with something, e.g. %s > 0", source, source)
	}
	return e, nil
}

// References returns the stages whose metrics a condition reads, in the order
// of their first appearance.
func References(source string) ([]string, error) {
	e, err := ParseExpression(source)
	if err != nil {
		return nil, err
	}
	return e.Stages(), nil
}

// Stages returns the stages whose metrics e reads, in the order of their first
// appearance.
func (e *Expression) Stages() []string {
	var stages []string
	for _, r := range e.refs {
		if !slices.Contains(stages, r.stage) {
			stages = append(stages, r.stage)
		}
	}
	return stages
}

// Eval compiles and evaluates a condition over metrics by stage and name.
func Eval(source string, metrics map[string]map[string]float64) (bool, error) {
	e, err := ParseExpression(source)
	if err != nil {
		return false, err
	}
	return e.Eval(metrics)
}

// Eval evaluates e. Every metric that e reads must be there, whichever branch is
// taken; the error lists the metrics that the stage has.
func (e *Expression) Eval(metrics map[string]map[string]float64) (bool, error) {
	var missing []error
	for _, r := range e.refs {
		if _, ok := metrics[r.stage][r.metric]; ok {
			continue
		}
		has := "it has none"
		if names := slices.Sorted(maps.Keys(metrics[r.stage])); len(names) > 0 {
			has = "it has " + strings.Join(names, ", ")
		}
		missing = append(missing, fmt.Errorf("stage %s has no metric %q (%s)", r.stage, r.metric, has))
	}
	if len(missing) > 0 {
		return false, fmt.Errorf("%q: %w", e.source, errors.Join(missing...))
	}
	run := evaluation{metric: func(r reference) (float64, error) { return metrics[r.stage][r.metric], nil }}
	v, err := run.eval(e.root)
	if err != nil {
		return false, fmt.Errorf("%q: %w", e.source, err)
	}
	return v.truth, nil
}

// Explain tells the values that e read, e.g. "baseline.r1 = 0.41, eval.r1 = 0.4".
func (e *Expression) Explain(metrics map[string]map[string]float64) string {
	parts := make([]string, 0, len(e.refs))
	for _, r := range e.refs {
		if v, ok := metrics[r.stage][r.metric]; ok {
			parts = append(parts, fmt.Sprintf("%s.%s = %s", r.stage, r.metric, formatNumber(v)))
		}
	}
	return strings.Join(parts, ", ")
}

// evaluation walks an expression; with everyBranch it visits what would not
// need to be, so that the types of all of it are checked.
type evaluation struct {
	everyBranch bool
	metric      func(reference) (float64, error)
}

func (e evaluation) eval(n ast.Node) (value, error) {
	switch n := n.(type) {
	case *ast.IntegerNode:
		return value{number: float64(n.Value)}, nil
	case *ast.FloatNode:
		return value{number: n.Value}, nil
	case *ast.BoolNode:
		return truth(n.Value), nil
	case *ast.ChainNode:
		return e.eval(n.Node)
	case *ast.MemberNode:
		r, err := referenceOf(n)
		if err != nil {
			return value{}, err
		}
		x, err := e.metric(r)
		return value{number: x}, err
	case *ast.IdentifierNode:
		return value{}, fmt.Errorf("%s is a stage, not a metric: write %[1]s.<metric>", n.Value)
	case *ast.UnaryNode:
		return e.unary(n)
	case *ast.BinaryNode:
		return e.binary(n)
	case *ast.ConditionalNode:
		return e.conditional(n)
	case *ast.BuiltinNode:
		return e.call(n.Name, n.Arguments)
	case *ast.CallNode:
		if name, ok := n.Callee.(*ast.IdentifierNode); ok {
			return e.call(name.Value, n.Arguments)
		}
	}
	return value{}, fmt.Errorf("%s cannot be used here: only numbers, true, false, metrics (stage.metric), "+
		"+ - * / ^, comparisons, and, or, not, ?:, %s", n, strings.Join(functions, ", "))
}

// referenceOf reads stage.metric, stage["metric"], and stage.a.b for a metric
// whose name is "a.b".
func referenceOf(n *ast.MemberNode) (reference, error) {
	property, ok := n.Property.(*ast.StringNode)
	if !ok || n.Optional || n.Method {
		return reference{}, fmt.Errorf("%s is no metric: write stage.metric or stage[\"metric\"]", n)
	}
	switch base := n.Node.(type) {
	case *ast.IdentifierNode:
		return reference{base.Value, property.Value}, nil
	case *ast.MemberNode:
		r, err := referenceOf(base)
		r.metric += "." + property.Value
		return r, err
	}
	return reference{}, fmt.Errorf("%s is no metric: write stage.metric or stage[\"metric\"]", n)
}

func (e evaluation) unary(n *ast.UnaryNode) (value, error) {
	want := isNumber
	if n.Operator == "!" || n.Operator == "not" {
		want = isTruth
	}
	v, err := e.operand(n.Node, want, n.Operator)
	switch {
	case err != nil:
	case want == isTruth:
		v.truth = !v.truth
	case n.Operator == "-":
		v.number = -v.number
	}
	return v, err
}

// operand evaluates n and checks its kind.
func (e evaluation) operand(n ast.Node, want kind, operator string) (value, error) {
	v, err := e.eval(n)
	if err == nil && v.kind != want {
		err = fmt.Errorf("%s is %s: %s wants %s", n, v.kind, operator, want)
	}
	return v, err
}

func (e evaluation) binary(n *ast.BinaryNode) (value, error) {
	switch n.Operator {
	case "and", "&&", "or", "||":
		return e.logical(n)
	}
	a, err := e.eval(n.Left)
	if err != nil {
		return value{}, err
	}
	b, err := e.eval(n.Right)
	if err != nil {
		return value{}, err
	}
	equality := n.Operator == "==" || n.Operator == "!="
	if a.kind != b.kind || a.kind == isTruth && !equality {
		return value{}, fmt.Errorf("%s: %s cannot be put between %s and %s", n, n.Operator, a.kind, b.kind)
	}
	x, y := a.number, b.number
	switch n.Operator {
	case "==":
		return truth(a == b), nil
	case "!=":
		return truth(a != b), nil
	case "<":
		return truth(x < y), nil
	case "<=":
		return truth(x <= y), nil
	case ">":
		return truth(x > y), nil
	case ">=":
		return truth(x >= y), nil
	case "+":
		return value{number: x + y}, nil
	case "-":
		return value{number: x - y}, nil
	case "*":
		return value{number: x * y}, nil
	case "/":
		return value{number: x / y}, nil
	case "^", "**":
		return value{number: math.Pow(x, y)}, nil
	}
	return value{}, fmt.Errorf("%s: operator %s cannot be used here", n, n.Operator)
}

func (e evaluation) logical(n *ast.BinaryNode) (value, error) {
	a, err := e.operand(n.Left, isTruth, n.Operator)
	if err != nil {
		return value{}, err
	}
	settles := n.Operator == "or" || n.Operator == "||" // the truth that settles it
	if a.truth == settles && !e.everyBranch {
		return a, nil
	}
	return e.operand(n.Right, isTruth, n.Operator)
}

func (e evaluation) conditional(n *ast.ConditionalNode) (value, error) {
	c, err := e.operand(n.Cond, isTruth, "?:")
	if err != nil {
		return value{}, err
	}
	if !e.everyBranch {
		if c.truth {
			return e.eval(n.Exp1)
		}
		return e.eval(n.Exp2)
	}
	a, err := e.eval(n.Exp1)
	if err != nil {
		return value{}, err
	}
	return e.operand(n.Exp2, a.kind, "the other branch of ?:")
}

var functions = []string{"abs", "min", "max", "floor", "ceil", "round"}

func (e evaluation) call(name string, args []ast.Node) (value, error) {
	if !slices.Contains(functions, name) {
		return value{}, fmt.Errorf("there is no function %s: %s", name, instead(name, functions))
	}
	several := name == "min" || name == "max"
	if len(args) == 0 || len(args) > 1 && !several {
		return value{}, fmt.Errorf("%s takes one number, or for min and max several; it has %d", name, len(args))
	}
	xs := make([]float64, len(args))
	for i, a := range args {
		v, err := e.operand(a, isNumber, name)
		if err != nil {
			return value{}, err
		}
		xs[i] = v.number
	}
	switch name {
	case "abs":
		return value{number: math.Abs(xs[0])}, nil
	case "min":
		return value{number: slices.Min(xs)}, nil
	case "max":
		return value{number: slices.Max(xs)}, nil
	case "floor":
		return value{number: math.Floor(xs[0])}, nil
	case "ceil":
		return value{number: math.Ceil(xs[0])}, nil
	}
	return value{number: math.Round(xs[0])}, nil
}
