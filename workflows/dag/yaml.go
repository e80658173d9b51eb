package dag

import (
	"errors"
	"fmt"
	"math"
	"strconv"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// yamlReader turns a YAML document into a tree. Anchors, aliases and merge keys
// are followed; an aliased tree is shared, not copied.
type yamlReader struct {
	anchors map[string]*tree
}

func readYAML(data []byte) (*tree, error) {
	if line := tooDeep(data); line > 0 {
		return nil, lineError{line, fmt.Sprintf("nested deeper than %d levels", maxDepth)}
	}
	file, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	var body ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return nil, lineError{lineOf(doc.Body), "a second document begins here: write one pipeline to a file"}
		}
		body = doc.Body
	}
	if body == nil {
		return &tree{line: 1}, nil
	}
	r := yamlReader{anchors: map[string]*tree{}}
	return r.value(body, 0)
}

// tooDeep returns the line where more brackets are open, or more dashes stand in
// a line, than any spec has; 0 where there is none. It looks at the bytes only, for
// the parser takes minutes for such a text.
func tooDeep(data []byte) int {
	const limit = 10 * maxDepth // brackets in texts count too
	line, open, dashes := 1, 0, 0
	for _, c := range data {
		switch c {
		case '\n':
			line++
			dashes = 0
		case '[', '{':
			open++
		case ']', '}':
			open--
		case '-', '?':
			dashes++
		}
		if open > limit || dashes > limit {
			return line
		}
	}
	return 0
}

// parseYAML calls the parser. Where it panics on malformed text, that is a
// syntax error like any other.
func parseYAML(data []byte) (file *ast.File, err error) {
	defer func() {
		if p := recover(); p != nil {
			file, err = nil, fmt.Errorf("the YAML cannot be read: %v", p)
		}
	}()
	file, err = parser.ParseBytes(data, 0)
	if err == nil {
		return file, nil
	}
	var syntax yaml.Error
	if errors.As(err, &syntax) && syntax.GetToken() != nil && syntax.GetToken().Position != nil {
		return nil, lineError{syntax.GetToken().Position.Line, syntax.GetMessage()}
	}
	return nil, err
}

func lineOf(n ast.Node) int {
	if tok := n.GetToken(); tok != nil && tok.Position != nil {
		return tok.Position.Line
	}
	return 0
}

func (r *yamlReader) value(n ast.Node, depth int) (*tree, error) {
	if n == nil {
		return &tree{}, nil
	}
	if depth > maxDepth {
		return nil, lineError{lineOf(n), fmt.Sprintf("nested deeper than %d levels", maxDepth)}
	}
	switch v := n.(type) {
	case *ast.MappingNode:
		return r.mapping(v.Values, lineOf(n), depth)
	case *ast.MappingValueNode:
		return r.mapping([]*ast.MappingValueNode{v}, lineOf(n), depth)
	case *ast.SequenceNode:
		t := &tree{shape: list, line: lineOf(n)}
		for _, item := range v.Values {
			i, err := r.value(item, depth+1)
			if err != nil {
				return nil, err
			}
			t.items = append(t.items, i)
		}
		return t, nil
	case *ast.AnchorNode:
		t, err := r.value(v.Value, depth+1)
		if err == nil {
			r.anchors[nameOf(v.Name)] = t
		}
		return t, err
	case *ast.AliasNode:
		t, ok := r.anchors[nameOf(v.Value)]
		if !ok {
			return nil, lineError{lineOf(n), fmt.Sprintf("alias *%s: no anchor &%[1]s before it", nameOf(v.Value))}
		}
		return t, nil
	}
	return scalar(n)
}

// nameOf returns the name of an anchor.
func nameOf(n ast.Node) string {
	if n == nil || n.GetToken() == nil {
		return ""
	}
	return n.GetToken().Value
}

func scalar(n ast.Node) (*tree, error) {
	t := &tree{line: lineOf(n)}
	switch v := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		t.shape, t.text = boolean, strconv.FormatBool(v.Value)
	case *ast.IntegerNode:
		t.shape, t.text = number, fmt.Sprint(v.Value)
	case *ast.FloatNode:
		if math.IsInf(v.Value, 0) || math.IsNaN(v.Value) {
			return nil, lineError{t.line, fmt.Sprintf("number %s is out of range", nameOf(n))}
		}
		t.shape, t.text = number, strconv.FormatFloat(v.Value, 'g', -1, 64)
	case *ast.StringNode:
		t.shape, t.text = text, v.Value
	case *ast.LiteralNode:
		t.shape, t.text = text, v.Value.Value
	case *ast.InfinityNode, *ast.NanNode:
		return nil, lineError{t.line, fmt.Sprintf("%s is no number that can be used: leave the key out for no limit", nameOf(n))}
	case *ast.TagNode:
		return nil, lineError{t.line, fmt.Sprintf("tag %s: tags are not read, remove it", v.Start.Value)}
	default:
		return nil, lineError{t.line, fmt.Sprintf("%s is not read here", n.Type())}
	}
	return t, nil
}

func (r *yamlReader) mapping(pairs []*ast.MappingValueNode, line, depth int) (*tree, error) {
	t := &tree{shape: object, line: line}
	var merged []*tree
	for _, pair := range pairs {
		value, err := r.value(pair.Value, depth+1)
		if err != nil {
			return nil, err
		}
		if pair.Key.IsMergeKey() {
			merged = append(merged, value)
			continue
		}
		name, err := keyName(pair.Key)
		if err != nil {
			return nil, err
		}
		if err := t.put(treeKey{name: name, line: lineOf(pair.Key), value: value}); err != nil {
			return nil, err
		}
	}
	for _, m := range merged {
		if err := t.merge(m); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// merge adds the keys of m that t does not have. Of a list of mappings the
// earlier ones win.
func (t *tree) merge(m *tree) error {
	switch m.shape {
	case object:
		for _, k := range m.keys {
			if t.find(k.name) != nil {
				continue
			}
			if err := t.put(k); err != nil {
				return err
			}
		}
	case list:
		for _, item := range m.items {
			if item.shape != object {
				return lineError{item.line, fmt.Sprintf("<< wants mappings, this is %s", item.shape)}
			}
			if err := t.merge(item); err != nil {
				return err
			}
		}
	default:
		return lineError{m.line, fmt.Sprintf("<< wants a mapping, this is %s", m.shape)}
	}
	return nil
}

func keyName(k ast.MapKeyNode) (string, error) {
	switch v := k.(type) {
	case *ast.StringNode:
		return v.Value, nil
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NullNode:
		return nameOf(v), nil
	}
	return "", lineError{lineOf(k), fmt.Sprintf("a key must be a word, this is %s", k.Type())}
}
