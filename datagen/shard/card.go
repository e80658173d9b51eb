package shard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tempera/datagen/sample"
	"tempera/infra/artifact"
)

// Card says about a data set what its samples cannot.
type Card struct {
	Title       string   `json:"title,omitempty"`
	Description string   `json:"description,omitempty"`
	License     []string `json:"license,omitempty"`   // SPDX identifiers
	Credits     []string `json:"credits,omitempty"`   // whom the licences ask to name
	Made        string   `json:"made,omitempty"`      // how: the kind of stage and its parameters
	Published   string   `json:"published,omitempty"` // a date; left out while a data set is not published

	// PublishedAs is the name that the data set is published under; its shards
	// keep the names that they have.
	PublishedAs string `json:"published_as,omitempty"`
}

// Stats are counted while a data set is written.
type Stats struct {
	Records    int            `json:"records"`
	ImageBytes int64          `json:"image_bytes"`
	Words      int64          `json:"words"`              // in captions
	LongestCap int            `json:"longest_caption"`    // in words
	Formats    map[string]int `json:"formats,omitempty"`  // samples by image format
	Sources    map[string]int `json:"sources,omitempty"`  // samples by source
	Styles     map[string]int `json:"styles,omitempty"`   // samples by style
	Origins    map[string]int `json:"origins,omitempty"`  // samples by where the caption is from
	Noise      map[string]int `json:"noise,omitempty"`    // samples by kind of known noise
	KnownTruth int            `json:"known_truth"`        // samples with a truth
	Examples   []string       `json:"examples,omitempty"` // the first captions
}

// Meta is the Meta of a data set's manifest.
type Meta struct {
	Name  string `json:"name"`
	Card  Card   `json:"card"`
	Stats Stats  `json:"stats"`
}

// Text is a file that describes a data set.
type Text struct{ Path, Text string }

// The names of the files that Describe writes.
const (
	CardFile      = "README.md"
	CroissantFile = "croissant.json"
)

// Describe writes the card and the Croissant metadata of shards. Both name the
// shards relative to the folder that they all lie in.
func (m Meta) Describe(shards []artifact.File) ([]Text, error) {
	croissant, err := m.croissant(shards)
	if err != nil {
		return nil, err
	}
	return []Text{{CardFile, m.readme(shards)}, {CroissantFile, croissant}}, nil
}

const examples = 5

func (st *Stats) add(s *sample.Sample) {
	st.Records++
	st.ImageBytes += int64(len(s.Image))
	words := len(strings.Fields(s.Caption))
	st.Words += int64(words)
	st.LongestCap = max(st.LongestCap, words)
	count(&st.Formats, s.Format)
	count(&st.Sources, s.Facts.Source)
	count(&st.Styles, s.Facts.Style)
	count(&st.Origins, s.Facts.Origin)
	if s.Facts.Truth != nil {
		st.KnownTruth++
		count(&st.Noise, s.Facts.Truth.Noise)
	}
	if len(st.Examples) < examples {
		st.Examples = append(st.Examples, s.Caption)
	}
}

func count(m *map[string]int, key string) {
	if key == "" {
		return
	}
	if *m == nil {
		*m = map[string]int{}
	}
	(*m)[key]++
}

// merge adds the counts of another part of the same data set.
func (st *Stats) merge(o Stats) {
	st.Records += o.Records
	st.ImageBytes += o.ImageBytes
	st.Words += o.Words
	st.LongestCap = max(st.LongestCap, o.LongestCap)
	st.KnownTruth += o.KnownTruth
	for _, p := range []struct {
		to   *map[string]int
		from map[string]int
	}{{&st.Formats, o.Formats}, {&st.Sources, o.Sources}, {&st.Styles, o.Styles}, {&st.Origins, o.Origins}, {&st.Noise, o.Noise}} {
		for k, n := range p.from {
			if *p.to == nil {
				*p.to = map[string]int{}
			}
			(*p.to)[k] += n
		}
	}
	room := examples - len(st.Examples)
	st.Examples = append(st.Examples, o.Examples[:max(0, min(room, len(o.Examples)))]...)
}

// readme is the data set card: YAML front matter as data set hubs read it, then
// Markdown.
func (m Meta) readme(shards []artifact.File) string {
	var b strings.Builder
	title := cmp.Or(m.Card.PublishedAs, m.Card.Title, m.Name)
	fmt.Fprintf(&b, "---\npretty_name: %q\n", title)
	if len(m.Card.License) > 0 {
		b.WriteString("license:\n")
		for _, l := range m.Card.License {
			fmt.Fprintf(&b, "  - %s\n", strings.ToLower(l))
		}
	}
	fmt.Fprintf(&b, "task_categories:\n  - image-to-text\n  - zero-shot-image-classification\ntags:\n  - webdataset\n")
	fmt.Fprintf(&b, "size_categories:\n  - %s\n", sizeCategory(m.Stats.Records))
	fmt.Fprintf(&b, "configs:\n  - config_name: default\n    data_files: \"%s-*.tar\"\n---\n\n# %s\n\n", m.Name, title)
	if m.Card.Description != "" {
		fmt.Fprintf(&b, "%s\n\n", m.Card.Description)
	}
	fmt.Fprintf(&b, "%d image-text pairs in %d shards (WebDataset tar files).", m.Stats.Records, len(shards))
	fmt.Fprintf(&b, " A sample is `<key>.<png|jpg|webp|gif>`, `<key>.txt` (the caption) and `<key>.json` (what is known of it).\n\n")
	fmt.Fprintf(&b, "| what | count |\n| --- | --- |\n| bytes of images | %d |\n| words in captions | %d |\n| words in the longest caption | %d |\n",
		m.Stats.ImageBytes, m.Stats.Words, m.Stats.LongestCap)
	for _, group := range []struct {
		name   string
		counts map[string]int
	}{{"format", m.Stats.Formats}, {"source", m.Stats.Sources}, {"style", m.Stats.Styles}, {"origin of captions", m.Stats.Origins}, {"known noise", m.Stats.Noise}} {
		for _, k := range sortedKeys(group.counts) {
			fmt.Fprintf(&b, "| %s %s | %d |\n", group.name, escapeCell(k), group.counts[k])
		}
	}
	if len(m.Stats.Examples) > 0 {
		b.WriteString("\n## Captions\n\n")
		for _, c := range m.Stats.Examples {
			fmt.Fprintf(&b, "- %s\n", escapeCell(strings.Join(strings.Fields(c), " ")))
		}
	}
	if m.Card.Made != "" {
		fmt.Fprintf(&b, "\n## How it was made\n\n```\n%s\n```\n", m.Card.Made)
	}
	if len(m.Card.Credits) > 0 {
		b.WriteString("\n## Credits\n\n")
		for _, c := range m.Card.Credits {
			fmt.Fprintf(&b, "- %s\n", c)
		}
	}
	return b.String()
}

func sizeCategory(n int) string {
	for _, c := range []struct {
		below int
		name  string
	}{{1e3, "n<1K"}, {1e4, "1K<n<10K"}, {1e5, "10K<n<100K"}, {1e6, "100K<n<1M"}, {1e7, "1M<n<10M"}} {
		if n < c.below {
			return c.name
		}
	}
	return "n>10M"
}

func escapeCell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "`", "'").Replace(s)
}

func sortedKeys(m map[string]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
