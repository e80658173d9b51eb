package emoji

import (
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tempera/datagen/picture"
	"tempera/datagen/sample"
)

// Concept is one emoji: a name and a drawing in every style.
type Concept struct {
	Name     string   // e.g. "dog face"; lower-case words, unique
	Category string   // e.g. "Animals & Nature"
	Keywords []string // what people type to find it
	file     string   // of its drawing
}

// Styles are the drawings' styles. Their licences allow them to be used and
// passed on: Apache-2.0 (google) and CC-BY-4.0 (twitter).
var Styles = []string{"google", "twitter"}

// Categories are those of the emoji whose drawings tell what they are.
var Categories = []string{"Animals & Nature", "Food & Drink", "Activities", "Travel & Places", "Objects"}

// entry is what the packages' emoji.json says of one emoji.
type entry struct {
	Name       string `json:"name"`
	Unified    string `json:"unified"` // code points in hex, joined by '-'
	Image      string `json:"image"`
	Category   string `json:"category"`
	HasGoogle  bool   `json:"has_img_google"`
	HasTwitter bool   `json:"has_img_twitter"`
}

var wordsOnly = regexp.MustCompile(`^[a-z]+( [a-z]+)*$`)

// drawings gives access to an installed set.
type drawings struct {
	root string // node_modules

	mu    sync.Mutex
	icons map[iconKey]*image.RGBA
}

type iconKey struct {
	file, style string
	size        int
}

func openDrawings(dir string) (*drawings, error) {
	if !Installed(dir) {
		return nil, fmt.Errorf("emoji drawings are not in %s: install them first, or %s", dir, packages.Remedy)
	}
	return &drawings{root: filepath.Join(packages.Folder(dir), "node_modules"), icons: map[iconKey]*image.RGBA{}}, nil
}

// concepts lists the emoji of the categories with names of at most maxWords
// words and a drawing in every style, in an order that seed shuffles.
func (d *drawings) concepts(categories []string, maxWords int, seed uint64) ([]Concept, error) {
	var entries []entry
	if err := readJSON(filepath.Join(d.root, packages.Packages[0].Name, "emoji.json"), &entries); err != nil {
		return nil, err
	}
	keywords := map[string][]string{}
	if err := readJSON(filepath.Join(d.root, packages.Packages[2].Name, "dist", "emoji-en-US.json"), &keywords); err != nil {
		return nil, err
	}
	slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.Unified, b.Unified) })
	var out []Concept
	seen := map[string]bool{}
	for _, e := range entries {
		name := strings.ToLower(e.Name)
		if !e.HasGoogle || !e.HasTwitter || !slices.Contains(categories, e.Category) || seen[name] ||
			!wordsOnly.MatchString(name) || len(strings.Fields(name)) > maxWords {
			continue
		}
		text, err := decodeUnified(e.Unified)
		if err != nil || filepath.Base(e.Image) != e.Image {
			return nil, fmt.Errorf("emoji %q: its code %q or image %q is not as expected", e.Name, e.Unified, e.Image)
		}
		seen[name] = true
		out = append(out, Concept{Name: name, Category: e.Category, Keywords: plainKeywords(keywords[text]), file: e.Image})
	}
	rng := sample.Random(seed, "emoji/concepts", 0)
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out, nil
}

func readJSON(path string, v any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("emoji names: %w", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("emoji names: %s: %w", path, err)
	}
	return nil
}

func decodeUnified(unified string) (string, error) {
	var b strings.Builder
	for part := range strings.SplitSeq(unified, "-") {
		r, err := strconv.ParseUint(part, 16, 21)
		if err != nil {
			return "", err
		}
		b.WriteRune(rune(r))
	}
	return b.String(), nil
}

// plainKeywords drops emoticons and splits joined words.
func plainKeywords(list []string) []string {
	var out []string
	for _, k := range list {
		k = strings.ReplaceAll(strings.ToLower(k), "_", " ")
		if wordsOnly.MatchString(k) && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out
}

// icon returns a drawing at size by size pixels, with alpha. It is shared.
func (d *drawings) icon(c Concept, style string, size int) (*image.RGBA, error) {
	key := iconKey{c.file, style, size}
	d.mu.Lock()
	defer d.mu.Unlock()
	if m := d.icons[key]; m != nil {
		return m, nil
	}
	path := filepath.Join(d.root, "emoji-datasource-"+style, "img", style, "64", c.file)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("drawing of %q: %w", c.Name, err)
	}
	m, err := picture.DecodeRGBA(data, picture.Limits{})
	if err != nil {
		var fault *sample.Fault
		if errors.As(err, &fault) {
			fault.Item = path
		}
		return nil, fmt.Errorf("drawing of %q: %w", c.Name, err)
	}
	m = picture.ResizeRGBA(m, size, size)
	d.icons[key] = m
	return m, nil
}
