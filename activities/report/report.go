// Package report renders what a run found as one HTML file that needs nothing
// else: no scripts, styles and SVG in line, images as data URIs. It follows the
// reader's dark or light preference, prints, and fits a phone.
//
// A Report is plain data; Render turns it into bytes, equal for equal reports.
// Every string may come from outside (captions do): html/template escapes each
// where it stands, and a content security policy forbids all loading besides.
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

// Report is one page.
type Report struct {
	Title    string
	Subtitle string   // e.g. the pipeline, the run and its date
	Verdict  *Verdict // what the run found, in a sentence
	Links    []Link
	Facts    []Fact
	Sections []Section
}

// Tone colours a verdict, a state or a badge.
type Tone string

// The tones.
const (
	Good    Tone = "good"
	Bad     Tone = "bad"
	Warn    Tone = "warn"
	Neutral Tone = "neutral"
)

// Verdict is the first thing to read.
type Verdict struct {
	Tone Tone
	Text string   // one sentence
	Why  []string // the figures behind it, a line each
}

// Link leads to a place that a person opens: the run in the Temporal UI, its
// folder in the store's console. Only http and https addresses become links.
type Link struct {
	Text string
	URL  string
}

// Fact is a figure of the page's head.
type Fact struct {
	Name  string
	Value string
}

// Section is a heading with blocks under it. Sections make up the table of
// contents.
type Section struct {
	Title  string
	Text   string // a paragraph, optional
	Blocks []Block
}

// Block is one of Table, Lines, Arms, Grid, Lineage, Timeline, Config and
// Quarantine.
type Block interface {
	// view returns the template's name and what it shows.
	view() (name string, data any, err error)
}

//go:embed page.html.tmpl
var pageSource string

//go:embed style.css
var style string

// Render writes the page.
func Render(w io.Writer, r *Report) error {
	page := template.New("page")
	page.Funcs(template.FuncMap{
		"draw": func(b Block) (template.HTML, error) {
			name, data, err := b.view()
			if err != nil {
				return "", err
			}
			var out bytes.Buffer
			if err := page.ExecuteTemplate(&out, name, data); err != nil {
				return "", err
			}
			return template.HTML(out.String()), nil //nolint:gosec // html/template has escaped it
		},
		"anchor": func(i int) string { return fmt.Sprintf("s%d", i+1) },
	})
	if _, err := page.Parse(pageSource); err != nil {
		return fmt.Errorf("render report: %w", err)
	}
	var out bytes.Buffer
	err := page.ExecuteTemplate(&out, "page", struct {
		*Report
		CSS template.CSS
	}{r, template.CSS(style)}) //nolint:gosec // our own file
	if err != nil {
		return fmt.Errorf("render report %q: %w", r.Title, err)
	}
	if _, err := w.Write(out.Bytes()); err != nil {
		return fmt.Errorf("write report %q: %w", r.Title, err)
	}
	return nil
}

// Config is a text that most readers skip: it is folded.
type Config struct {
	Name string
	Text string // YAML or JSON
}

func (c Config) view() (string, any, error) { return "config", c, nil }

// Quarantine lists what was left out of a run.
type Quarantine struct {
	Items []QuarantinedItem
	Total int // where Items is not all; 0: it is
}

// QuarantinedItem is what was left out, and why.
type QuarantinedItem struct {
	Item   string
	Reason string
}

func (q Quarantine) view() (string, any, error) {
	total := max(q.Total, len(q.Items))
	return "quarantine", struct {
		Items       []QuarantinedItem
		Total, More int
	}{q.Items, total, total - len(q.Items)}, nil
}
