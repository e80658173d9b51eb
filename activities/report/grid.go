package report

import (
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
)

// Grid shows images with what was said about them.
type Grid struct {
	Title string
	Items []GridItem
}

// GridItem is one image.
type GridItem struct {
	Image    []byte // PNG, JPEG, WebP or GIF; nil shows none
	Captions []Caption
	Scores   []Score
	Badge    string // e.g. "kept", "rejected", "rewritten"
	Tone     Tone   // of the badge
}

// Caption is a text of an image.
type Caption struct {
	Label   string // e.g. "web", "synthetic", "truth"
	Text    string
	Dropped bool // struck through
}

// Score is what a model thought of a pair.
type Score struct {
	Name  string
	Value float64
}

type gridItemView struct {
	GridItem
	Source template.URL
	Alt    string
	Scores []Fact
}

func (g Grid) view() (string, any, error) {
	items := make([]gridItemView, len(g.Items))
	for i, item := range g.Items {
		v := gridItemView{GridItem: item}
		if item.Image != nil {
			kind := http.DetectContentType(item.Image)
			switch kind {
			case "image/png", "image/jpeg", "image/webp", "image/gif":
			default:
				return "", nil, fmt.Errorf("grid %q: image %d is %s: want PNG, JPEG, WebP or GIF", g.Title, i, kind)
			}
			v.Source = template.URL("data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(item.Image)) //nolint:gosec // base64
		}
		for _, c := range item.Captions {
			if !c.Dropped {
				v.Alt = c.Text
			}
		}
		for _, s := range item.Scores {
			v.Scores = append(v.Scores, Fact{s.Name, decimal(s.Value, 2)})
		}
		items[i] = v
	}
	return "grid", struct {
		Title string
		Items []gridItemView
	}{g.Title, items}, nil
}
