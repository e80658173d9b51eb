package rows

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"tempera/datagen/example"
	"tempera/datagen/sample"
)

// chatterbot is dialogues of strings, each said in turn by the user and the
// assistant, as in ChatterBot's corpus (YAML).
func chatterbot() Format {
	return Format{
		Name: "chatterbot", Summary: "ChatterBot's YAML: dialogues as lists of strings",
		fits: func(r *record) bool { return r.has(dialogueKey) },
		read: func(r *record) ([]*example.Example, error) {
			var said []string
			if err := r.get(dialogueKey, &said); err != nil {
				return nil, err
			}
			said = said[:len(said)/2*2] // what nobody answers says nothing
			if len(said) == 0 {
				return nil, errors.New("the dialogue has no answer")
			}
			e := &example.Example{}
			for i, text := range said {
				role := "user"
				if i%2 == 1 {
					role = "assistant"
				}
				e.Messages = append(e.Messages, example.Say(role, text))
			}
			return one(e, r.get("category", &e.Slice))
		},
	}
}

// dialogueKey is under which a row of a YAML file has its dialogue.
const dialogueKey = "dialogue"

// yaml reads a file of dialogues, a row each.
func (r *reader) yaml(f *file, yield takeRecord) bool {
	data, err := io.ReadAll(io.LimitReader(f, min(r.params.MaxFile, maxYAML)+1))
	if err != nil {
		return yield(nil, fmt.Errorf("read %s: %w", f.name, err))
	}
	if len(data) > maxYAML {
		return yield(nil, sample.Faulty(f.name, sample.ReasonSize, fmt.Errorf("a YAML file of more than %d bytes", maxYAML)))
	}
	talks, category, err := dialogues(data)
	if err != nil {
		return yield(nil, sample.Faulty(f.name, "not YAML of dialogues", err))
	}
	for _, talk := range talks {
		rec := &record{where: fmt.Sprintf("%s#%d", f.name, talk.line), file: f, fields: map[string]json.RawMessage{}}
		rec.fields["category"], _ = json.Marshal(category) // strings are JSON
		rec.fields[dialogueKey], _ = json.Marshal(talk.said)
		if !yield(rec, talk.fault(rec.where)) {
			return false
		}
	}
	return true
}

// maxYAML bounds a YAML file, which is parsed as a whole.
const maxYAML = 16 << 20

type dialogue struct {
	line int
	said []string
	err  error
}

func (d dialogue) fault(where string) error {
	if d.err == nil {
		return nil
	}
	return sample.Faulty(where, reasonRow, d.err)
}

// dialogues parses {categories: [name], conversations: [[text, ...], ...]}.
func dialogues(data []byte) (talks []dialogue, category string, err error) {
	defer recovered(&err) // the file is from a stranger
	parsed, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, "", errors.New(yaml.FormatError(err, false, false))
	}
	var list *ast.SequenceNode
	for _, doc := range parsed.Docs {
		body, ok := doc.Body.(*ast.MappingNode)
		if !ok {
			continue
		}
		for _, pair := range body.Values {
			seq, ok := pair.Value.(*ast.SequenceNode)
			if !ok {
				continue
			}
			switch pair.Key.String() {
			case "conversations":
				list = seq
			case "categories":
				if len(seq.Values) > 0 {
					category, _ = scalar(seq.Values[0])
				}
			}
		}
	}
	if list == nil {
		return nil, "", errors.New("it has no list of conversations")
	}
	for _, n := range list.Values {
		d := dialogue{line: n.GetToken().Position.Line}
		seq, ok := n.(*ast.SequenceNode)
		if !ok {
			d.err = errors.New("a dialogue is a list of strings")
		} else {
			for _, v := range seq.Values {
				text, ok := scalar(v)
				if !ok {
					d.err = errors.New("a dialogue has something that is no text")
				}
				d.said = append(d.said, text)
			}
		}
		talks = append(talks, d)
	}
	return talks, category, nil
}

// scalar is the text of a node as it was written.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}
