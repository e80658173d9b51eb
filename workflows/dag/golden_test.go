package dag

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden text cases")

// A golden file is a sequence of cases:
//
//	# comments and blank lines
//	command arguments
//	input, until a line ----
//	----
//	output, until a blank line; output that has blank lines stands between
//	two lines ---- each
type goldenCase struct {
	before  string // comments and blank lines
	command string
	args    []string
	input   string
	output  string
	line    int
}

// runGolden runs every case of a file through do and compares, or rewrites.
// Cases of one file share what do keeps.
func runGolden(t *testing.T, file string, do func(c goldenCase) string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	cases, tail := parseGolden(t, string(text))
	var rewritten bytes.Buffer
	for _, c := range cases {
		got := do(c)
		if got != "" && !strings.HasSuffix(got, "\n") {
			got += "\n"
		}
		if !*update && got != c.output {
			t.Fatalf("%s:%d: %s\n%s", path, c.line, c.command, cmp.Diff(c.output, got))
		}
		rule := "----\n"
		if strings.Contains(got, "\n\n") {
			rule = "----\n----\n"
			got += rule
		}
		command := strings.Join(append([]string{c.command}, c.args...), " ")
		fmt.Fprintf(&rewritten, "%s%s\n%s%s%s", c.before, command, c.input, rule, got)
	}
	rewritten.WriteString(tail)
	if *update && !bytes.Equal(rewritten.Bytes(), text) {
		if err := os.WriteFile(path, rewritten.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func parseGolden(t *testing.T, text string) (cases []goldenCase, tail string) {
	t.Helper()
	lines := strings.SplitAfter(text, "\n")
	next := func(n int) (string, bool) {
		if n >= len(lines) || lines[n] == "" {
			return "", false
		}
		return lines[n], true
	}
	n := 0
	for {
		var c goldenCase
		for {
			l, ok := next(n)
			if !ok {
				return cases, c.before
			}
			if strings.TrimSpace(l) != "" && !strings.HasPrefix(l, "#") {
				break
			}
			c.before += l
			n++
		}
		c.line = n + 1
		words := strings.Fields(lines[n])
		c.command, c.args = words[0], words[1:]
		n++
		for lines[n] != "----\n" {
			c.input += lines[n]
			n++
			if _, ok := next(n); !ok {
				t.Fatalf("line %d: %s has no ----", c.line, c.command)
			}
		}
		n++
		blanks := false
		if l, _ := next(n); l == "----\n" {
			blanks = true
			n++
		}
		for {
			l, ok := next(n)
			if !ok || !blanks && l == "\n" {
				break
			}
			if blanks && l == "----\n" && lines[n+1] == "----\n" {
				n += 2
				break
			}
			c.output += l
			n++
		}
		cases = append(cases, c)
	}
}
