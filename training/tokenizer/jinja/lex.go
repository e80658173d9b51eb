package jinja

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

type tokenKind int

const (
	tokenEnd   tokenKind = iota // of the template
	tokenText                   // what is written as it is
	tokenOpen                   // {{ or {%
	tokenClose                  // }} or %}
	tokenName
	tokenString
	tokenInt
	tokenFloat
	tokenSign // an operator or a bracket
)

// token is a piece of a template.
type token struct {
	kind tokenKind
	text string
	line int
}

func (t token) String() string {
	switch t.kind {
	case tokenEnd:
		return "the end of the template"
	case tokenText:
		return "text"
	case tokenString:
		return quote(t.text)
	default:
		return t.text
	}
}

// lexer cuts a template into tokens.
type lexer struct {
	rest   string
	line   int
	tokens []token
	start  bool // nothing has been read yet
	// What the tag before wants of the text that follows it.
	cutNewline, cutSpace bool
}

// lex cuts a template into tokens, by the rules of Jinja with trim_blocks and
// lstrip_blocks: the first line end after a block or a comment goes, and so do
// blanks before one that begins its line; "-" takes all white space, "+" none.
func lex(source string) ([]token, error) {
	source = strings.ReplaceAll(strings.ReplaceAll(source, "\r\n", "\n"), "\r", "\n")
	l := &lexer{rest: strings.TrimSuffix(source, "\n"), line: 1, start: true}
	for l.rest != "" {
		if err := l.step(); err != nil {
			return nil, err
		}
	}
	l.add(tokenEnd, "")
	return l.tokens, nil
}

func (l *lexer) add(k tokenKind, text string) {
	l.tokens = append(l.tokens, token{k, text, l.line})
}

// take goes on by n bytes.
func (l *lexer) take(n int) {
	l.line += strings.Count(l.rest[:n], "\n")
	l.rest = l.rest[n:]
}

func (l *lexer) fail(line int, format string, args ...any) error {
	return &Error{Line: line, Reason: fmt.Sprintf(format, args...)}
}

// step reads text up to the next tag, and the tag.
func (l *lexer) step() error {
	at := nextTag(l.rest)
	tag := l.rest[at:]
	l.write(at, tag)
	switch {
	case tag == "":
		return nil
	case strings.HasPrefix(tag, "{#"):
		return l.comment()
	case rawTag(tag, "raw") > 0:
		return l.raw()
	}
	return l.tag()
}

// write adds the n bytes of text before a tag, less the white space that the tags
// around them take.
func (l *lexer) write(n int, tag string) {
	text := l.rest[:n]
	body := text
	switch {
	case l.cutSpace:
		body = strings.TrimLeftFunc(text, isSpace)
	case l.cutNewline:
		body = strings.TrimPrefix(text, "\n")
	}
	if tag != "" {
		lineStart := l.start || strings.HasSuffix(text[:len(text)-len(body)], "\n")
		body = before(body, tag, lineStart)
	}
	if body != "" {
		l.add(tokenText, body)
	}
	l.take(n)
	l.start, l.cutNewline, l.cutSpace = false, false, false
}

// before is text as a tag after it leaves it. lineStart says that the text begins
// a line.
func before(text, tag string, lineStart bool) string {
	switch sign := tag[2:min(3, len(tag))]; {
	case sign == "-":
		return strings.TrimRightFunc(text, isSpace)
	case sign == "+" || tag[1] == '{':
		return text
	}
	at := strings.LastIndexByte(text, '\n') + 1
	if (at > 0 || lineStart) && strings.TrimFunc(text[at:], isSpace) == "" {
		return text[:at]
	}
	return text
}

// nextTag is where the next tag begins, or the length of the text.
func nextTag(text string) int {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == '{' && (text[i+1] == '{' || text[i+1] == '%' || text[i+1] == '#') {
			return i
		}
	}
	return len(text)
}

// isSpace is Python's white space.
func isSpace(r rune) bool {
	return r == ' ' || r >= '\t' && r <= '\r' || r >= 0x1c && r <= 0x1f || r == 0x85 || r == 0xa0 || r == 0x1680 ||
		r >= 0x2000 && r <= 0x200a || r == 0x2028 || r == 0x2029 || r == 0x202f || r == 0x205f || r == 0x3000
}

// closed notes what the end of a tag wants. Inner is what stands between its marks.
func (l *lexer) closed(inner string) {
	if len(inner) > 0 && (inner[0] == '-' || inner[0] == '+') {
		inner = inner[1:]
	}
	l.cutSpace = strings.HasSuffix(inner, "-")
	l.cutNewline = !l.cutSpace && !strings.HasSuffix(inner, "+")
}

func (l *lexer) comment() error {
	end := strings.Index(l.rest, "#}")
	if end < 2 {
		return l.fail(l.line, "a comment is not closed")
	}
	l.closed(l.rest[2:end])
	l.take(end + 2)
	return nil
}

// rawTag returns the length of a tag {% name %}, 0 if the text does not begin with it.
func rawTag(text, name string) int {
	end := strings.Index(text, "%}")
	if !strings.HasPrefix(text, "{%") || end < 2 || strings.Trim(text[2:end], "-+ \t\n") != name {
		return 0
	}
	return end + 2
}

// raw reads from {% raw %} to {% endraw %}.
func (l *lexer) raw() error {
	line, n := l.line, rawTag(l.rest, "raw")
	l.closed(l.rest[2 : n-2])
	l.cutNewline = false // Jinja trims nothing here
	l.take(n)
	for at := 0; ; at += 2 {
		next := strings.Index(l.rest[at:], "{%")
		if next < 0 {
			return l.fail(line, "raw is not closed")
		}
		at += next
		if n := rawTag(l.rest[at:], "endraw"); n > 0 {
			l.write(at, l.rest[at:])
			l.closed(l.rest[2 : n-2])
			l.take(n)
			return nil
		}
	}
}

// tag reads {{ ... }} or {% ... %}.
func (l *lexer) tag() error {
	line, block := l.line, l.rest[1] == '%'
	open, end := "{{", "}}"
	if block {
		open, end = "{%", "%}"
	}
	l.add(tokenOpen, open)
	l.take(2)
	if strings.HasPrefix(l.rest, "-") || strings.HasPrefix(l.rest, "+") {
		l.take(1)
	}
	depth := 0 // of brackets: }} within them does not close
	for {
		l.take(len(l.rest) - len(strings.TrimLeftFunc(l.rest, isSpace)))
		signed := strings.HasPrefix(l.rest, "-"+end) || block && strings.HasPrefix(l.rest, "+"+end)
		switch {
		case l.rest == "":
			return l.fail(line, "%s is not closed", open)
		case depth == 0 && (signed || strings.HasPrefix(l.rest, end)):
			l.cutSpace = l.rest[0] == '-'
			l.cutNewline = block && !signed
			l.add(tokenClose, end)
			if signed {
				l.take(1)
			}
			l.take(2)
			return nil
		}
		if err := l.inner(&depth); err != nil {
			return err
		}
	}
}

// signs are the operators and brackets, longer ones first.
func signs() []string {
	return []string{"**", "//", "==", "!=", "<=", ">=", "+", "-", "*", "/", "%", "~", "<", ">", "=", "(", ")", "[", "]", "{", "}", ",", ".", ":", "|"}
}

// inner reads one token of an expression.
func (l *lexer) inner(depth *int) error {
	switch c := l.rest[0]; {
	case c == '\'' || c == '"':
		return l.text(c)
	case c >= '0' && c <= '9':
		l.number()
		return nil
	case isNameByte(c):
		n := 1
		for n < len(l.rest) && isNameByte(l.rest[n]) {
			n++
		}
		l.add(tokenName, l.rest[:n])
		l.take(n)
		return nil
	}
	for _, s := range signs() {
		if !strings.HasPrefix(l.rest, s) {
			continue
		}
		switch s {
		case "(", "[", "{":
			*depth++
		case ")", "]", "}":
			if *depth--; *depth < 0 {
				return l.fail(l.line, "unexpected %q", s)
			}
		}
		l.add(tokenSign, s)
		l.take(len(s))
		return nil
	}
	return l.fail(l.line, "unexpected character %q", l.rest[:1])
}

func isNameByte(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

func (l *lexer) number() {
	digits := func(i int) int {
		for i < len(l.rest) && (l.rest[i] >= '0' && l.rest[i] <= '9' || l.rest[i] == '_') {
			i++
		}
		return i
	}
	n, kind := digits(0), tokenInt
	if n+1 < len(l.rest) && l.rest[n] == '.' && l.rest[n+1] >= '0' && l.rest[n+1] <= '9' {
		n, kind = digits(n+1), tokenFloat
	}
	if n < len(l.rest) && (l.rest[n] == 'e' || l.rest[n] == 'E') {
		m := n + 1
		if m < len(l.rest) && (l.rest[m] == '+' || l.rest[m] == '-') {
			m++
		}
		if end := digits(m); end > m {
			n, kind = end, tokenFloat
		}
	}
	l.add(kind, strings.ReplaceAll(l.rest[:n], "_", ""))
	l.take(n)
}

// text reads a string, whose escapes are Python's.
func (l *lexer) text(mark byte) error {
	var b strings.Builder
	for i := 1; i < len(l.rest); i++ {
		switch c := l.rest[i]; {
		case c == mark:
			l.add(tokenString, b.String())
			l.take(i + 1)
			return nil
		case c == '\\' && i+1 < len(l.rest):
			i += escape(&b, l.rest[i+1:])
		default:
			b.WriteByte(c)
		}
	}
	return l.fail(l.line, "a string is not closed")
}

// escape writes what an escape stands for and returns its bytes behind the
// backslash. Unknown ones are text.
func escape(b *strings.Builder, rest string) int {
	if at := strings.IndexByte("abfnrtv\\'\"", rest[0]); at >= 0 {
		b.WriteByte("\a\b\f\n\r\t\v\\'\""[at])
		return 1
	}
	if rest[0] == '\n' { // the string goes on in the next line
		return 1
	}
	for _, e := range []struct {
		mark   byte
		digits int
	}{{'x', 2}, {'u', 4}, {'U', 8}} {
		if rest[0] != e.mark || len(rest) <= e.digits {
			continue
		}
		if code, err := strconv.ParseUint(rest[1:1+e.digits], 16, 32); err == nil {
			b.WriteRune(rune(code))
			return 1 + e.digits
		}
	}
	n := 0
	for n < 3 && n < len(rest) && rest[n] >= '0' && rest[n] <= '7' {
		n++
	}
	if code, err := strconv.ParseUint(rest[:n], 8, 32); err == nil {
		b.WriteRune(rune(code))
		return n
	}
	b.WriteByte('\\')
	return 0
}
