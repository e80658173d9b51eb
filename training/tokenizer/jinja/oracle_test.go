package jinja

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// question is a template and what it is given; the reference answers with a text or
// an error.
type question struct {
	Template  string          `json:"template"`
	Variables json.RawMessage `json:"variables"`
}

type answer struct {
	Text  *string `json:"text,omitempty"`
	Error *string `json:"error,omitempty"`
}

var update = flag.Bool("update", false, "write testdata/golden.ndjson, with the reference at hand")

// TestTemplatesAgreeWithTheReference renders the chat templates below the folders of
// $TEMPLATE_DIR, a list as in $PATH, and the tests' own, in many conversations, and
// compares with the program of $TEMPLATE_ORACLE: Jinja itself, set up as transformers
// does. Folders hold tokenizer_config.json, *.jinja, or *.json with a question.
// `task test:templates` sets all up.
func TestTemplatesAgreeWithTheReference(t *testing.T) {
	program := os.Getenv("TEMPLATE_ORACLE")
	if program == "" {
		t.Skip("TEMPLATE_ORACLE is not set: run `task test:templates` to compare with the reference")
	}
	questions := map[string]question{}
	for _, dir := range append(filepath.SplitList(os.Getenv("TEMPLATE_DIR")), "testdata") {
		if dir != "" {
			collect(t, dir, questions)
		}
	}
	for _, c := range language() {
		questions["the language/"+c.name] = question{c.template, json.RawMessage(variablesJSON)}
	}
	order := slices.Sorted(maps.Keys(questions))
	answers := ask(t, program, order, questions)
	texts, faults := 0, 0
	var golden bytes.Buffer
	for i, name := range order {
		if answers[i].Text != nil {
			texts++
		}
		if fault := disagreement(t, questions[name], answers[i]); fault != "" {
			faults++
			t.Errorf("%s: %s", name, fault)
		}
		if strings.HasPrefix(name, "testdata/") {
			writeGolden(t, &golden, name, answers[i])
		}
	}
	t.Logf("%d of %d renders agree, %d of them texts", len(order)-faults, len(order), texts)
	if *update {
		if err := os.WriteFile(goldenFile, golden.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const goldenFile = "testdata/golden.ndjson"

// golden is what the reference said of a question.
type golden struct {
	Name string `json:"name"`
	answer
}

func writeGolden(t *testing.T, to *bytes.Buffer, name string, a answer) {
	t.Helper()
	e := json.NewEncoder(to)
	e.SetEscapeHTML(false)
	if err := e.Encode(golden{name, a}); err != nil {
		t.Fatal(err)
	}
}

// The same comparison with what the reference said when the file was written.
func TestTemplatesAgreeWithTheirGoldenTexts(t *testing.T) {
	questions := map[string]question{}
	collect(t, "testdata", questions)
	data, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range bytes.Lines(data) {
		var g golden
		if err := json.Unmarshal(line, &g); err != nil {
			t.Fatal(err)
		}
		if fault := disagreement(t, questions[g.Name], g.answer); fault != "" {
			t.Errorf("%s: %s", g.Name, fault)
		}
		n++
	}
	if n != len(questions) {
		t.Errorf("%d golden texts for %d questions: write them again", n, len(questions))
	}
}

// collect adds the questions below a folder.
func collect(t *testing.T, dir string, into map[string]question) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch {
		case filepath.Base(path) == "tokenizer_config.json":
			var c struct {
				Template string `json:"chat_template"`
			}
			if json.Unmarshal(data, &c) == nil && c.Template != "" {
				converse(path, c.Template, into)
			}
		case filepath.Ext(path) == ".jinja":
			converse(path, string(data), into)
		case filepath.Ext(path) == ".json":
			var q question
			if err := json.Unmarshal(data, &q); err == nil && q.Template != "" {
				into[path] = q
				converse(path, q.Template, into)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// conversations are what templates are asked to write down.
func conversations() map[string]string {
	const (
		system = `{"role": "system", "content": " You're brief & \"exact\". "}`
		user   = `{"role": "user", "content": "What is 2 < 3?\n  Tell me."}`
		answer = `{"role": "assistant", "content": "True \u00e9\ud83d\udc4d"}`
		think  = `{"role": "assistant", "content": "<think>\nhm\n</think>\n\nTrue", "reasoning_content": "hm"}`
		call   = `{"role": "assistant", "content": "", "tool_calls": [{"id": "abcdef123", "type": "function", "function": {"name": "weather", "arguments": {"city": "Z\u00fcrich", "days": 2, "exact": true, "x": null, "f": 1.5}}}]}`
		result = `{"role": "tool", "content": "{\"t\": 21.5}", "tool_call_id": "abcdef123", "name": "weather"}`
		image  = `{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}`
		tools  = `"tools": [{"type": "function", "function": {"name": "weather", "description": "It's the \"weather\" <b>", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "a town"}, "days": {"type": "integer", "enum": [1, 2]}, "where": {"type": "array", "items": {"type": "string"}}}, "required": ["city"]}}}]`
		ids    = `"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"`
	)
	talk := func(more string, messages ...string) string {
		return "{" + ids + more + `, "messages": [` + strings.Join(messages, ", ") + "]}"
	}
	const ask, calls = `, "add_generation_prompt": true`, `, ` + tools
	return map[string]string{
		"a question":               talk(`, "add_generation_prompt": false`, user),
		"a question to answer":     talk(ask, user),
		"an answer":                talk("", user, answer),
		"a system":                 talk(ask, system, user),
		"turns":                    talk(`, "tools": null`, system, user, answer, user, answer),
		"turns to answer":          talk(ask, user, answer, user),
		"thoughts":                 talk("", user, think, user, think),
		"thinking":                 talk(ask+`, "enable_thinking": true`, user, think, user),
		"no thinking":              talk(ask+`, "enable_thinking": false`, user),
		"tools":                    talk(ask+calls, user),
		"tools and a system":       talk(ask+calls, system, user),
		"a call":                   talk(calls, user, call),
		"a call and its result":    talk(ask+calls, user, call, result),
		"a call, result, answer":   talk(calls, system, user, call, result, answer),
		"two questions in a row":   talk(ask, user, user),
		"the assistant begins":     talk("", answer, user),
		"an image":                 talk(ask, image),
		"an image and an answer":   talk("", image, answer),
		"no messages":              talk(ask),
		"a role that nobody knows": talk("", `{"role": "critic", "content": "no"}`),
		"nothing said":             talk("", user, `{"role": "assistant", "content": null}`),
	}
}

func converse(path, template string, into map[string]question) {
	for name, variables := range conversations() {
		into[path+"/"+name] = question{template, json.RawMessage(variables)}
	}
}

func ask(t *testing.T, program string, order []string, questions map[string]question) []answer {
	t.Helper()
	var in bytes.Buffer
	e := json.NewEncoder(&in)
	for _, name := range order {
		if err := e.Encode(questions[name]); err != nil {
			t.Fatal(err)
		}
	}
	words := strings.Fields(program)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdin, cmd.Stderr = &in, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", program, err)
	}
	var answers []answer
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		var a answer
		if err := json.Unmarshal(lines.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		answers = append(answers, a)
	}
	if len(answers) != len(order) {
		t.Fatalf("%d answers to %d questions", len(answers), len(order))
	}
	return answers
}

// disagreement says what is otherwise than the reference has it. Where that fails,
// an error is wanted, whatever its words.
func disagreement(t *testing.T, q question, want answer) string {
	t.Helper()
	v, err := FromJSON(q.Variables)
	if err != nil {
		t.Fatal(err)
	}
	vars := map[string]any{}
	for _, k := range v.(*Dict).keys {
		vars[k.(string)] = v.(*Dict).values[k]
	}
	var out Rendered
	tmpl, err := Parse(q.Template)
	if err == nil {
		out, err = tmpl.Render(vars, Limits{})
	}
	switch {
	case err != nil && want.Error != nil:
		return ""
	case err != nil:
		return fmt.Sprintf("%v, want %q", err, shorten(*want.Text))
	case want.Error != nil:
		return fmt.Sprintf("gives %q, want the error %s", shorten(out.Text), *want.Error)
	case out.Text != *want.Text:
		at := 0
		for at < len(out.Text) && at < len(*want.Text) && out.Text[at] == (*want.Text)[at] {
			at++
		}
		at = max(0, at-20)
		return fmt.Sprintf("gives ...%q, want ...%q", shorten(out.Text[at:]), shorten((*want.Text)[min(at, len(*want.Text)):]))
	}
	return ""
}

func shorten(s string) string {
	if len(s) > 160 {
		return s[:160] + "..."
	}
	return s
}
