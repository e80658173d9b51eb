package jinja

// node is a statement, or text.
type node interface{ exec(*run, *scope) error }

// expr is an expression.
type expr interface {
	eval(*run, *scope) (any, error)
	at() int // its line
}

// place is the line of an expression or a statement.
type place int

func (p place) at() int { return int(p) }

// The statements.
type (
	textNode   struct{ text string }
	outputNode struct{ value expr }
	ifNode     struct {
		tests  []expr
		bodies [][]node // one more than tests where there is an else
	}
	forNode struct {
		place
		targets    []string
		items      expr
		filter     expr // nil without one
		body, none []node
	}
	setNode struct {
		place
		targets []target
		value   expr   // nil: the text of body
		body    []node // through filters
		filters []call
	}
	macroNode struct {
		place
		name   string
		params []param
		body   []node
	}
	callNode struct {
		place
		caller macroNode
		value  expr // a *callExpr
	}
	filterNode struct {
		place
		filters []call
		body    []node
	}
	withNode struct {
		names  []string
		values []expr
		body   []node
	}
	generationNode struct{ body []node }
	jumpNode       struct{ err error }
)

// target is what a set statement sets: a name, or an attribute of a namespace.
type target struct{ name, attribute string }

// param is a parameter of a macro.
type param struct {
	name      string
	otherwise expr // nil without a default
}

// The expressions.
type (
	constExpr struct {
		place
		value any
	}
	nameExpr struct {
		place
		name string
	}
	listExpr struct {
		place
		items []expr
		tuple bool
	}
	dictExpr struct {
		place
		keys, values []expr
	}
	attrExpr struct {
		place
		of   expr
		name string
	}
	itemExpr struct {
		place
		of, key expr
	}
	sliceExpr struct {
		place
		of              expr
		from, to, steps expr // nil where left out
	}
	callExpr struct {
		place
		of   expr
		args call
	}
	filterExpr struct {
		place
		of    expr
		apply call
	}
	testExpr struct {
		place
		of   expr
		test call
		not  bool
	}
	unaryExpr struct {
		place
		sign string
		of   expr
	}
	binaryExpr struct {
		place
		sign        string
		left, right expr
	}
	compareExpr struct {
		place
		first expr
		signs []string
		rest  []expr
	}
	choiceExpr struct {
		place
		test, yes, no expr // no may be nil
	}
)

// call is the name of a filter or a test, and the arguments of any call.
type call struct {
	name   string
	filter filterFunc // of filters
	test   testFunc   // of tests
	list   []expr
	spread expr // *args; nil without
	named  []namedArg
	others expr // **kwargs; nil without
}

type namedArg struct {
	name  string
	value expr
}

// generates tells whether there is a generation block among nodes or in them.
func generates(nodes []node) bool {
	for _, n := range nodes {
		switch n := n.(type) {
		case *generationNode:
			return true
		case *ifNode:
			for _, b := range n.bodies {
				if generates(b) {
					return true
				}
			}
		case *forNode:
			if generates(n.body) || generates(n.none) {
				return true
			}
		case *withNode:
			if generates(n.body) {
				return true
			}
		}
	}
	return false
}
