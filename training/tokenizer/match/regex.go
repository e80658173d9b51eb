package match

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/dlclark/regexp2/v2"

	"tempera/training/tokenizer/charclass"
)

// Regex matches a regular expression in Oniguruma's syntax, which Hugging
// Face's library uses. The error says what the expression has that is not read.
func Regex(expr string) (Matcher, error) {
	if s, ok := scanners[expr]; ok {
		return s.matcher(), nil
	}
	return compile(expr)
}

func compile(expr string) (Matcher, error) {
	translated, err := translate(expr)
	if err != nil {
		return nil, err
	}
	re, err := regexp2.Compile(translated, regexp2.Multiline) // as ^ and $ are in Oniguruma
	if err != nil {
		return nil, fmt.Errorf("regular expression %q: %w", expr, err)
	}
	return func(text string) iter.Seq2[int, int] {
		return func(yield func(int, int) bool) {
			found, err := re.FindAllStringIndex(text, -1)
			if err != nil {
				panic(fmt.Sprintf("regular expression %q: %v", expr, err)) // only a time limit fails, and none is set
			}
			for _, m := range found {
				if !yield(m[0], m[1]) {
					return
				}
			}
		}
	}, nil
}

// The classes that Oniguruma and the engine here take differently, as the
// inside of a character class.
var classes = map[byte]string{
	's': `\t-\r\u0020\u0085\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`,
	'd': property("Nd"),
	'w': property("L") + property("M") + property("Nd") + `\p{Nl}\p{Pc}Ⓐ-ⓩ🄰-🅉🅐-🅩🅰-🆉`,
}

// property is a Unicode property as the reference knows it, as the inside of a
// character class.
func property(name string) string {
	var b strings.Builder
	b.WriteString(`\p{` + name + `}`)
	for _, r := range charclass.Missing(name) {
		b.WriteRune(r[0])
		if r[1] > r[0] {
			b.WriteString("-" + string(r[1]))
		}
	}
	return b.String()
}

// translator rewrites the character classes of an expression; all else is the
// same in both syntaxes as far as tokenizers use it.
type translator struct {
	out   strings.Builder
	depth int // of nested character classes
}

func translate(expr string) (string, error) {
	var t translator
	for i := 0; i < len(expr); {
		n, err := t.step(expr[i:])
		if err != nil {
			return "", fmt.Errorf("regular expression %q: %w", expr, err)
		}
		i += n
	}
	return t.out.String(), nil
}

// step rewrites what is at the front of an expression, and returns its length.
func (t *translator) step(expr string) (int, error) {
	switch {
	case expr[0] == '\\' && len(expr) > 1:
		return t.escape(expr), nil
	case expr[0] == '[' && t.depth == 0:
		t.depth = 1
		t.out.WriteByte('[')
		for _, first := range []string{"[^]", "[^", "[]"} { // a bracket right at the front is itself
			if strings.HasPrefix(expr, first) {
				t.out.WriteString(strings.ReplaceAll(first[1:], "]", `\]`))
				return len(first), nil
			}
		}
	case expr[0] == '[' && (strings.HasPrefix(expr, "[^") || strings.HasPrefix(expr, "[:")):
		return 0, errors.New("a character class within another is read only where it adds to it")
	case expr[0] == '[':
		t.depth++ // a union: the brackets say nothing
	case expr[0] == ']' && t.depth > 0:
		t.depth--
		if t.depth == 0 {
			t.out.WriteByte(']')
		}
	case strings.HasPrefix(expr, "&&") && t.depth > 0:
		return 0, errors.New("intersections of character classes are not read")
	default:
		t.out.WriteByte(expr[0])
	}
	return 1, nil
}

func (t *translator) escape(expr string) int {
	e := expr[1]
	name, _, closed := strings.Cut(expr[2:], "}")
	switch {
	case classes[e] != "":
		t.set("", classes[e])
	case (e == 'S' || e == 'D' || e == 'W') && t.depth == 0:
		t.set("^", classes[e|0x20])
	case (e == 'p' || e == 'P' && t.depth == 0) && closed && strings.HasPrefix(name, "{"):
		negated := ""
		if e == 'P' {
			negated = "^"
		}
		t.set(negated, property(name[1:]))
		return len(name) + 3
	default:
		t.out.WriteString(expr[:2])
	}
	return 2
}

// set writes the inside of a character class, in brackets where there are none.
func (t *translator) set(negated, inside string) {
	if t.depth > 0 {
		t.out.WriteString(inside)
		return
	}
	t.out.WriteString("[" + negated + inside + "]")
}
