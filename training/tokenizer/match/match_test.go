package match

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
)

func parts(t *testing.T, m Matcher, text string) []string {
	t.Helper()
	var out []string
	rest := 0
	for start, end := range m(text) {
		if start < rest || end <= start || end > len(text) {
			t.Fatalf("%q matches from %d to %d after %d", text, start, end, rest)
		}
		out = append(out, text[start:end])
		rest = end
	}
	return out
}

// TestTheScannersDoWhatTheirExpressionsSay runs the expressions themselves on
// the engine for unusual ones.
func TestTheScannersDoWhatTheirExpressionsSay(t *testing.T) {
	for expr, s := range scanners {
		t.Run(expr, func(t *testing.T) {
			re, err := compile(expr)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range texts(t) {
				if got, want := parts(t, s.matcher(), text), parts(t, re, text); !slices.Equal(got, want) {
					t.Fatalf("%q is split into %q, want %q", text, got, want)
				}
			}
		})
	}
}

func cases(t *testing.T) [][]string {
	t.Helper()
	b, err := os.ReadFile("testdata/split.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases [][]string
	if err := json.Unmarshal(b, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 1000 {
		t.Fatalf("%d cases", len(cases))
	}
	return cases
}

func texts(t *testing.T) []string {
	t.Helper()
	out := []string{"it'ſx a'Sx", "'S 'ſ 'LL 'rE\r\n \r\n x", "a\r\n\n  b", "12345 6", " \t\n .\r\n", "x  \u00a0y", "<|endoftext|>"}
	for _, c := range cases(t) {
		out = append(out, c[0])
	}
	return out
}

// TestGPT2SplitsAsTheReference compares with the pattern as another regular
// expression engine with look-ahead ran it (ECMAScript, \s written as
// White_Space).
func TestGPT2SplitsAsTheReference(t *testing.T) {
	m, err := Regex(GPT2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases(t) {
		if got := parts(t, m, c[0]); !slices.Equal(got, c[1:]) {
			t.Fatalf("%q is split into %q, want %q", c[0], got, c[1:])
		}
	}
}

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		name, expr, text string
		want             []string
	}{
		{"white space is Unicode's", `\s`, "a\u3000\u0085\u200b", []string{"\u3000", "\u0085"}},
		{"letters newer than Go's tables", `[\p{L}]+`, "a\U000105c0b-", []string{"a\U000105c0b"}},
		{"what is no letter", `\P{L}+`, "ab12c", []string{"12"}},
		{"a union of classes", ` ?[^(\s|[.,!?])]+`, "ab (c.d) e", []string{"ab", "c", "d", " e"}},
		{"a bracket at the front of a class", `[]x]`, "a]x", []string{"]", "x"}},
		{"a bracket at the front of what is not", `[^]x]`, "a]x", []string{"a"}},
		{"lines begin at ^", `^.`, "ab\ncd", []string{"a", "c"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Regex(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			if got := parts(t, m, c.text); !slices.Equal(got, c.want) {
				t.Fatalf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, expr := range []string{`[a&&b]`, `[a[^b]]`, `(`, `[[:alpha:]]`} {
		if _, err := Regex(expr); err == nil {
			t.Fatalf("%s is read", expr)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, bad := range []string{``, `{}`, `{"String":""}`, `{"Regex":""}`, `{"Glob":"*"}`, `"x"`} {
		if _, err := Parse(json.RawMessage(bad)); err == nil {
			t.Fatalf("%s is read", bad)
		}
	}
	m, err := Parse(json.RawMessage(`{"String":"aa"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := Replace(m, "aaaba", "-"); got != "-aba" {
		t.Fatalf("got %q", got)
	}
}
