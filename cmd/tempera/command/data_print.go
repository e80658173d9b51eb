package command

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"strings"
)

// The colours of tokens: learned ones are green, images blue, and tokens beside each
// other of two shades, so that one sees where they begin.
const (
	colourReset   = "\x1b[0m"
	colourLearned = "\x1b[30;42m"
	colourLighter = "\x1b[30;102m"
	colourGiven   = "\x1b[90m"
	colourOther   = "\x1b[37m"
	colourImage   = "\x1b[30;44m"
)

func (t shownToken) colour(i int) string {
	switch {
	case t.Image:
		return colourImage
	case t.Learn && i%2 == 0:
		return colourLearned
	case t.Learn:
		return colourLighter
	case i%2 == 0:
		return colourGiven
	}
	return colourOther
}

// printRows writes rows for a terminal. Without colours, what is learned stands in
// braces, and a bar parts tokens.
func printRows(w io.Writer, rows []shownRow, colours bool) {
	for i, r := range rows {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s (%s)", r.ID, r.Form)
		if r.Source != "" && r.Source != r.ID {
			fmt.Fprintf(w, " from %s", r.Source)
		}
		fmt.Fprintln(w)
		if r.Fault != "" {
			fmt.Fprintf(w, "  cannot be used: %s\n", r.Fault)
		}
		for _, t := range r.Texts {
			if t.Tokens == nil {
				fmt.Fprintf(w, "%s: %s\n", t.Name, t.Text)
				continue
			}
			fmt.Fprintf(w, "%s: %d tokens, %d learned\n%s\n", t.Name, len(t.Tokens), t.Learned, t.line(colours))
		}
	}
}

// line is a text with its tokens marked.
func (t shownText) line(colours bool) string {
	var b strings.Builder
	learned := false
	for i, token := range t.Tokens {
		if colours {
			// A line end is shown where it is, and colours do not run to the margin.
			b.WriteString(token.colour(i) + strings.ReplaceAll(token.Text, "\n", "⏎"+colourReset+"\n"+token.colour(i)) + colourReset)
			continue
		}
		switch {
		case token.Learn && !learned:
			b.WriteString("{")
		case !token.Learn && learned:
			b.WriteString("}")
		case i > 0:
			b.WriteString("|")
		}
		learned = token.Learn
		b.WriteString(token.Text)
	}
	if learned && !colours {
		b.WriteString("}")
	}
	return b.String()
}

//go:embed data.html
var dataPage string

// writeHTML writes a page that needs nothing else.
func writeHTML(path string, rows []shownRow) error {
	page, err := template.New("data").Funcs(template.FuncMap{
		"visible": func(s string) string { return strings.ReplaceAll(s, "\n", "⏎\n") },
		"quoted":  func(s string) string { return fmt.Sprintf("%q", s) },
	}).Parse(dataPage)
	if err != nil {
		return fmt.Errorf("page of rows: %w", err)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, rows); err != nil {
		return fmt.Errorf("page of rows: %w", err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return wrong(err)
	}
	return nil
}
